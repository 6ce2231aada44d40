// What a backend implements. Visible inside engine/device only. Backends trust their callers: the front has checked everything.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"

namespace quire {

/// One allocation. Destroying it frees the memory at once: the front retires it first.
class BackendBuffer {
 public:
  virtual ~BackendBuffer() = default;
  uint64_t size_bytes = 0;
  uint64_t address = 0;
  std::byte* mapped = nullptr;        ///< null: not host-visible
  BufferUse use = BufferUse::device;
  const void* owner = nullptr;        ///< the DeviceCore it belongs to
};

/// Dispatches that may run many times. A backend that keeps them in a form of its own derives from it.
class BackendRecording : public std::enable_shared_from_this<BackendRecording> {
 public:
  virtual ~BackendRecording() = default;
  std::vector<Command> commands;
  bool in_driver = false;             ///< the backend takes it as a command (Command::Kind::replay)
};

class BackendDevice {
 public:
  virtual ~BackendDevice() = default;
  virtual const DeviceInfo& info() const = 0;
  virtual Result<std::unique_ptr<BackendBuffer>> create_buffer(uint64_t size_bytes, BufferUse use, const char* label) = 0;
  virtual Status prepare(const KernelVariant& kernel) = 0;
  /// `commands` are dispatches. The backend keeps the answer itself for as long as a submission runs it.
  virtual Result<std::shared_ptr<BackendRecording>> keep(std::span<const Command> commands) {
    auto recording = std::make_shared<BackendRecording>();
    recording->commands.assign(commands.begin(), commands.end());
    return recording;
  }
  /// Runs the commands in order, after all earlier submissions and seeing all they wrote, and then sets the timeline to `signal_value`.
  /// There may be no commands. On error other than device_lost: nothing was submitted, and `signal_value` will be used again.
  virtual Status submit(std::span<const Command> commands, uint64_t signal_value) = 0;
  virtual Result<uint64_t> completed() = 0;
  virtual Status wait(uint64_t timeline_value, std::chrono::nanoseconds timeout) = 0;
  virtual Result<std::vector<KernelTiming>> take_timings() = 0;
  virtual DeviceMemory memory() = 0;   ///< only the heap_* fields
  virtual Status save_pipeline_cache() = 0;
};

/// One pair a backend, in reference/, vulkan/, cuda/, null/ (file names mirrored). A backend that is not built links a stub that answers `unsupported`.
/// Each applies DeviceOptions::adjust_limits once to the limits it queried, before it uses any of them; what info() answers has been adjusted.
Result<std::vector<DeviceInfo>> list_reference_devices(const DeviceOptions& options);
Result<std::unique_ptr<BackendDevice>> open_reference_device(const DeviceOptions& options);
Result<std::vector<DeviceInfo>> list_vulkan_devices(const DeviceOptions& options);
Result<std::unique_ptr<BackendDevice>> open_vulkan_device(const DeviceOptions& options);
Result<std::vector<DeviceInfo>> list_cuda_devices(const DeviceOptions& options);
Result<std::unique_ptr<BackendDevice>> open_cuda_device(const DeviceOptions& options);
Result<std::vector<DeviceInfo>> list_null_devices(const DeviceOptions& options);
Result<std::unique_ptr<BackendDevice>> open_null_device(const DeviceOptions& options);

}  // namespace quire
