// Recording: dispatches that were checked once and are run again and again, as those of a step whose shape returns.
#pragma once

#include <memory>

namespace quire {

/// Made by Device::keep, run by Encoder::replay. Destroying it while the device runs it is allowed, and is a use of the Device.
/// It keeps addresses, not buffers: what its dispatches were bound to must exist whenever it is replayed.
class Recording {
 public:
  Recording();
  Recording(Recording&&) noexcept;
  Recording& operator=(Recording&&) noexcept;
  ~Recording();
  explicit operator bool() const { return kept_ != nullptr; }
  /// Whether the driver has it in a form that costs the host one command; otherwise replaying records its dispatches one by one.
  bool in_driver() const;

 private:
  friend class Device;
  friend class Encoder;
  struct Kept;
  std::unique_ptr<const Kept> kept_;
};

}  // namespace quire
