// Device: the checked front over the backends. Every size, slice and limit is validated here; backends trust what reaches them.
// A Device is used by one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/buffer.hpp"
#include "engine/device/encoder.hpp"
#include "engine/device/limits.hpp"

namespace quire {

struct VulkanAdoption;  // engine/device/vulkan_adoption.hpp
class BackendDevice;    // engine/device/backend.hpp

struct DeviceOptions {
  /// Which backends to look at. Vulkan is the only one chosen without being named.
  BackendKind backend = BackendKind::vulkan;
  /// Vulkan: an index from list_devices, a part of a name (case-insensitive), a UUID in hexadecimal, or empty for the best:
  /// discrete > integrated > virtual > CPU.
  std::string select;
  /// Vulkan: where entry points come from (PFN_vkGetInstanceProcAddr as void*); null: the system's loader, opened at run time.
  void* get_instance_proc_addr = nullptr;
  /// Vulkan: adopt this device instead of creating one.
  const VulkanAdoption* adoption = nullptr;
  /// Vulkan: turn the validation layers (core and synchronization) on. unsupported if they are not installed.
  bool validation = false;
  /// Called for each validation or driver message of warning or error severity.
  std::function<void(const char* message)> message;
  /// Folder of the pipeline cache; empty: none. A file in it that is damaged or of another device is ignored and rewritten.
  std::string pipeline_cache_folder;
  /// Longest estimated time of one submission; zero: no bound. Unset: 100 ms on a GPU, no bound on a CPU device.
  std::optional<std::chrono::nanoseconds> submission_bound;
  /// Multiplies every estimate that submissions are split by (tests; a host that knows its device to be slower than its type).
  double estimate_factor = 1.0;
  BarrierMode barriers = BarrierMode::tracked;
  /// Applied to the limits after they were queried, before anything uses them: tests lower them, never raise.
  std::function<void(Limits&)> adjust_limits;
  /// Measure each command with GPU timestamps (take_timings).
  bool timestamps = false;
};

struct KernelTiming {
  KernelVariant kernel;
  uint64_t gpu_ns = 0;
  Work work;
};

struct DeviceMemory {
  uint64_t buffer_bytes = 0;        ///< in live buffers of this Device, retired ones included until they are given back
  uint64_t buffer_count = 0;
  uint64_t staging_bytes = 0;       ///< in blocks that Encoder::upload copies through, kept for reuse; not part of buffer_bytes
  uint64_t heap_used_bytes = 0;     ///< by the process, as the driver reports (memory budget extension), else 0
  uint64_t heap_budget_bytes = 0;   ///< likewise
};

class Device {
 public:
  /// All devices of a backend, usable or not, best first. Their index in this list is what `select` takes.
  static Result<std::vector<DeviceInfo>> list(const DeviceOptions& options);
  /// On error: not_found (nothing matches), unsupported (the backend is not built, or the device lacks a requirement; the message names it).
  static Result<Device> open(const DeviceOptions& options);
  /// The front over a backend made by the caller (engine/device/backend.hpp): tests that need their own.
  static Result<Device> from_backend(std::unique_ptr<BackendDevice> backend, const DeviceOptions& options);

  Device(Device&&) noexcept;
  Device& operator=(Device&&) noexcept;
  /// Waits (bounded) for submissions in flight.
  ~Device();

  const DeviceInfo& info() const;
  const Limits& limits() const { return info().limits; }

  /// `label` names the buffer in errors and debuggers. Contents are undefined.
  /// On error: invalid_argument (zero bytes or more than limits().max_buffer_bytes), out_of_device_memory, device_lost.
  Result<Buffer> create_buffer(uint64_t size_bytes, BufferUse use, const char* label);

  /// Compiles the kernel now rather than at its first dispatch. On error: unsupported (no such variant), device_lost, out_of_*_memory.
  Status prepare(const KernelVariant& kernel);

  Encoder encoder();
  /// Takes the dispatches of an encoder, not to run them but to be replayed by others.
  /// On error: invalid_argument (another device's encoder, one that holds copies, fills, uploads or replays), as prepare; the encoder is unchanged.
  Result<Recording> keep(Encoder&& encoder);
  /// Splits the commands at the submission bound and hands them to the device in order. Returns the timeline value that is reached when the
  /// last of them is complete. Values grow by at least one each call; work of one submit sees all effects of earlier submits.
  /// On error: nothing of this encoder runs and it keeps its commands, or the device is lost.
  Result<uint64_t> submit(Encoder&& encoder);
  /// The last timeline value handed out.
  uint64_t last_submitted() const;
  /// The largest timeline value reached. On error: device_lost.
  Result<uint64_t> completed();
  /// On error: timeout (still running; may be called again), device_lost.
  Status wait(uint64_t timeline_value, std::chrono::nanoseconds timeout);

  /// GPU times of completed commands since the last call, if DeviceOptions::timestamps.
  Result<std::vector<KernelTiming>> take_timings();
  DeviceMemory memory();
  /// Submissions so far that were split off because of the bound.
  uint64_t submission_count() const;
  /// Writes the pipeline cache to its folder, if there is one and it changed. Failure to write is not an error for the caller's work: it is
  /// returned so that it can be logged.
  Status save_pipeline_cache();
  bool lost() const;

 private:
  explicit Device(std::shared_ptr<DeviceCore> core);
  /// device_lost; invalid_argument, naming `call`, if the encoder is not this device's own or was moved from.
  Status check_own(const Encoder& encoder, const char* call) const;
  std::shared_ptr<DeviceCore> core_;
};

}  // namespace quire
