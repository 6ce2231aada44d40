#include "engine/device/recording.hpp"

#include "engine/device/recording_state.hpp"

namespace quire {

Recording::Recording() = default;
Recording::Recording(Recording&&) noexcept = default;
Recording& Recording::operator=(Recording&&) noexcept = default;
Recording::~Recording() = default;

bool Recording::in_driver() const { return kept_ && kept_->commands->in_driver; }

}  // namespace quire
