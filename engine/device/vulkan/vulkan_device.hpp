// The Vulkan backend's device: made by us or adopted from a host, on one path.
#pragma once

#include "engine/device/backend.hpp"
#include "engine/device/vulkan/vulkan_encoder.hpp"
#include "engine/device/vulkan/vulkan_instance.hpp"

namespace quire {

class VulkanDevice final : public BackendDevice {
 public:
  /// As open_vulkan_device, with shaders from `shaders`.
  static Result<std::unique_ptr<VulkanDevice>> open(const DeviceOptions& options, ShaderSource shaders);
  /// Waits, with a bound, for what is in flight. Requires: its buffers are gone.
  ~VulkanDevice() override;

  const DeviceInfo& info() const override { return context_.physical.info; }
  Result<std::unique_ptr<BackendBuffer>> create_buffer(uint64_t size_bytes, BufferUse use, const char* label) override;
  Status prepare(const KernelVariant& kernel) override;
  Result<std::shared_ptr<BackendRecording>> keep(std::span<const Command> commands) override;
  Status submit(std::span<const Command> commands, uint64_t signal_value) override;
  Result<uint64_t> completed() override;
  Status wait(uint64_t timeline_value, std::chrono::nanoseconds timeout) override;
  Result<std::vector<KernelTiming>> take_timings() override;
  DeviceMemory memory() override;
  Status save_pipeline_cache() override;

 private:
  VulkanDevice() = default;
  Status create_own(const DeviceOptions& options);
  Status create_logical_device();
  Status adopt(const VulkanAdoption& adoption);
  Status finish_open(const DeviceOptions& options, ShaderSource shaders);
  /// Waits, with a bound, for what is in flight; true also if the device is lost.
  bool idle();
  /// Remembers that the device is lost, so that destruction does not wait for it.
  template <class Answer>
  Answer note(Answer answer);

  std::unique_ptr<VulkanInstance> instance_;
  VulkanContext context_;
  bool owns_device_ = false;
  bool lost_ = false;
  std::function<void(const char*)> message_;
  std::unique_ptr<VulkanPipelines> pipelines_;
  std::unique_ptr<VulkanEncoder> encoder_;
};

}  // namespace quire
