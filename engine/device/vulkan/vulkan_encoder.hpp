// Turns checked commands into command buffers, submits them and follows them on one timeline semaphore.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "engine/device/backend.hpp"
#include "engine/device/vulkan/vulkan_pipeline.hpp"

namespace quire {

class VulkanEncoder {
 public:
  /// `context` and `pipelines` must outlive this object. `timestamps`: measure each command, if the queue can.
  VulkanEncoder(const VulkanContext& context, VulkanPipelines& pipelines, bool timestamps);
  VulkanEncoder(const VulkanEncoder&) = delete;
  VulkanEncoder& operator=(const VulkanEncoder&) = delete;
  /// Requires: nothing is in flight, or the device is lost.
  ~VulkanEncoder();

  Status open();
  /// In a secondary command buffer, or with timestamps as they are: each dispatch is measured. On error: as VulkanPipelines::get, out_of_*_memory.
  Result<std::shared_ptr<BackendRecording>> keep(std::span<const Command> dispatches);
  /// On error: nothing of it runs, or the device is lost; the semaphore's value is unchanged.
  Status submit(std::span<const Command> commands, uint64_t signal_value);
  Result<uint64_t> completed();
  Status wait(uint64_t timeline_value, std::chrono::nanoseconds timeout);
  /// Times of dispatches (copies and fills have none) in submissions that completed since the last call, in the order they ran.
  Result<std::vector<KernelTiming>> take_timings();
  uint64_t last_submitted() const { return last_submitted_; }

 private:
  class SecondaryCommands;
  /// One submission's recording. `signal_value` says when it may be used again.
  struct Batch {
    VkCommandBuffer commands = VK_NULL_HANDLE;
    VkQueryPool queries = VK_NULL_HANDLE;
    uint32_t query_capacity = 0;
    uint64_t signal_value = 0;
    std::vector<std::shared_ptr<const BackendRecording>> recordings;  ///< that it runs
    std::vector<Command> timed;  ///< empty unless timestamps are on; query i and i + 1 enclose command i
  };

  Result<std::vector<VulkanPipeline>> pipelines_of(std::span<const Command> commands);
  Result<VkCommandBuffer> allocate_commands(VkCommandBufferLevel level);
  Status prepare_batch(Batch& batch, size_t command_count);
  Status record(Batch& batch, std::span<const Command> commands, std::span<const VulkanPipeline> pipelines);
  Status record_kept(VkCommandBuffer to, std::span<const Command> dispatches, std::span<const VulkanPipeline> pipelines) const;
  void record_command(VkCommandBuffer to, const Command& command, const VulkanPipeline& pipeline, VkPipeline& bound) const;
  Status submit_to_queue(const Batch& batch);
  void destroy(Batch& batch);
  /// Moves batches up to `value` from in_flight_ to free_, reading their timestamps.
  Status recycle(uint64_t value);
  Status read_timestamps(const Batch& batch);

  const VulkanContext& context_;
  VulkanPipelines& pipelines_;
  bool timestamps_ = false;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkSemaphore timeline_ = VK_NULL_HANDLE;
  uint64_t last_submitted_ = 0;
  std::deque<Batch> in_flight_;  ///< oldest first
  std::vector<Batch> free_;
  std::vector<KernelTiming> timings_;
};

}  // namespace quire
