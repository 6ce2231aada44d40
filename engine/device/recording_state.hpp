// What a Recording holds. Visible inside engine/device only.
#pragma once

#include <memory>

#include "engine/device/device_core.hpp"
#include "engine/device/recording.hpp"

namespace quire {

struct Recording::Kept {
  std::shared_ptr<DeviceCore> core;  ///< first: the backend outlives what it has kept
  std::shared_ptr<const BackendRecording> commands;
  Work work;                         ///< of all dispatches together
};

}  // namespace quire
