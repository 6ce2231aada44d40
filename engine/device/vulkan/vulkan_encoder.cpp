#include "engine/device/vulkan/vulkan_encoder.hpp"

#include <algorithm>
#include <cmath>

#include "engine/device/vulkan/vulkan_memory.hpp"

namespace quire {
namespace {

constexpr VkPipelineStageFlags kWorkStages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
constexpr VkAccessFlags kWrites = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
constexpr VkAccessFlags kReads = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT;

VkBuffer handle_of(const BufferSlice& slice) { return static_cast<const VulkanBuffer*>(slice.buffer)->handle(); }

/// Holds the host's lock on the queue, if it gave one.
class QueueLock {
 public:
  explicit QueueLock(const VulkanContext& context) : context_(context) {
    if (context_.lock_queue != nullptr) context_.lock_queue(context_.user);
  }
  QueueLock(const QueueLock&) = delete;
  QueueLock& operator=(const QueueLock&) = delete;
  ~QueueLock() {
    if (context_.unlock_queue != nullptr) context_.unlock_queue(context_.user);
  }

 private:
  const VulkanContext& context_;
};

constexpr VkMemoryBarrier barrier_between() {
  VkMemoryBarrier between{};
  between.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  between.srcAccessMask = kWrites;
  between.dstAccessMask = kWrites | kReads;
  return between;
}

}  // namespace

/// A secondary command buffer. Requires: destroyed before the encoder, while nothing that runs it is in flight.
class VulkanEncoder::SecondaryCommands final : public BackendRecording {
 public:
  SecondaryCommands(const VulkanContext& context, VkCommandPool pool, VkCommandBuffer buffer) : handle(buffer), context_(context), pool_(pool) {}
  SecondaryCommands(const SecondaryCommands&) = delete;
  SecondaryCommands& operator=(const SecondaryCommands&) = delete;
  ~SecondaryCommands() override { context_.vk.FreeCommandBuffers(context_.device, pool_, 1, &handle); }
  const VkCommandBuffer handle;

 private:
  const VulkanContext& context_;
  const VkCommandPool pool_;
};

VulkanEncoder::VulkanEncoder(const VulkanContext& context, VulkanPipelines& pipelines, bool timestamps)
    : context_(context), pipelines_(pipelines), timestamps_(timestamps && context.physical.timestamp_valid_bits != 0) {}

VulkanEncoder::~VulkanEncoder() {
  for (Batch& batch : in_flight_) destroy(batch);
  for (Batch& batch : free_) destroy(batch);
  if (pool_ != VK_NULL_HANDLE) context_.vk.DestroyCommandPool(context_.device, pool_, nullptr);
  if (timeline_ != VK_NULL_HANDLE) context_.vk.DestroySemaphore(context_.device, timeline_, nullptr);
}

Status VulkanEncoder::open() {
  VkSemaphoreTypeCreateInfo type{};
  type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo semaphore_info{};
  semaphore_info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  semaphore_info.pNext = &type;
  VkSemaphore timeline = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(context_.vk, CreateSemaphore, context_.device, &semaphore_info, nullptr, &timeline);
  timeline_ = timeline;
  VkCommandPoolCreateInfo pool_info{};
  pool_info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool_info.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool_info.queueFamilyIndex = context_.physical.queue_family;
  VkCommandPool pool = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(context_.vk, CreateCommandPool, context_.device, &pool_info, nullptr, &pool);
  pool_ = pool;
  return {};
}

Result<std::vector<VulkanPipeline>> VulkanEncoder::pipelines_of(std::span<const Command> commands) {
  std::vector<VulkanPipeline> pipelines(commands.size());
  for (size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].kind != Command::Kind::dispatch) continue;
    QUIRE_ASSIGN(pipelines[i], pipelines_.get(commands[i].kernel));
  }
  return pipelines;
}

Result<VkCommandBuffer> VulkanEncoder::allocate_commands(VkCommandBufferLevel level) {
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = pool_;
  info.level = level;
  info.commandBufferCount = 1;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(context_.vk, AllocateCommandBuffers, context_.device, &info, &commands);
  return commands;
}

Result<std::shared_ptr<BackendRecording>> VulkanEncoder::keep(std::span<const Command> dispatches) {
  QUIRE_ASSIGN(const std::vector<VulkanPipeline> pipelines, pipelines_of(dispatches));
  std::shared_ptr<BackendRecording> recording;
  if (timestamps_) {
    recording = std::make_shared<BackendRecording>();
  } else {
    QUIRE_ASSIGN(const VkCommandBuffer commands, allocate_commands(VK_COMMAND_BUFFER_LEVEL_SECONDARY));
    recording = std::make_shared<SecondaryCommands>(context_, pool_, commands);  // owns it: whatever fails from here on frees it
    QUIRE_TRY(record_kept(commands, dispatches, pipelines));
    recording->in_driver = true;
  }
  recording->commands.assign(dispatches.begin(), dispatches.end());
  return recording;
}

Status VulkanEncoder::record_kept(VkCommandBuffer to, std::span<const Command> dispatches, std::span<const VulkanPipeline> pipelines) const {
  const DeviceFunctions& vk = context_.vk;
  VkCommandBufferInheritanceInfo inherited{};
  inherited.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO;
  VkCommandBufferBeginInfo begin{};
  begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  begin.flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT;
  begin.pInheritanceInfo = &inherited;
  QUIRE_VULKAN_TRY(vk, BeginCommandBuffer, to, &begin);
  const VkMemoryBarrier between = barrier_between();
  VkPipeline bound = VK_NULL_HANDLE;
  for (size_t i = 0; i < dispatches.size(); ++i) {
    // What must come before the first one is for whoever replays it to say.
    if (dispatches[i].barrier_before && i > 0) vk.CmdPipelineBarrier(to, kWorkStages, kWorkStages, 0, 1, &between, 0, nullptr, 0, nullptr);
    record_command(to, dispatches[i], pipelines[i], bound);
  }
  QUIRE_VULKAN_TRY(vk, EndCommandBuffer, to);
  return {};
}

Status VulkanEncoder::submit(std::span<const Command> commands, uint64_t signal_value) {
  QUIRE_ASSIGN(const std::vector<VulkanPipeline> pipelines, pipelines_of(commands));
  if (!in_flight_.empty()) {
    QUIRE_ASSIGN(const uint64_t value, completed());
    QUIRE_TRY(recycle(value));
  }
  Batch batch;
  if (!free_.empty()) {
    batch = std::move(free_.back());
    free_.pop_back();
  }
  batch.signal_value = signal_value;
  Status status = prepare_batch(batch, commands.size());
  if (status.ok()) status = record(batch, commands, pipelines);
  if (status.ok()) status = submit_to_queue(batch);
  if (!status.ok()) {
    destroy(batch);  // it may be half recorded
    return status;
  }
  last_submitted_ = signal_value;
  in_flight_.push_back(std::move(batch));
  return {};
}

Status VulkanEncoder::prepare_batch(Batch& batch, size_t command_count) {
  if (batch.commands == VK_NULL_HANDLE) {
    QUIRE_ASSIGN(batch.commands, allocate_commands(VK_COMMAND_BUFFER_LEVEL_PRIMARY));
  }
  const auto queries = static_cast<uint32_t>(command_count + 1);
  if (!timestamps_ || batch.query_capacity >= queries) return {};
  VkQueryPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
  info.queryType = VK_QUERY_TYPE_TIMESTAMP;
  info.queryCount = std::max(queries, 64u);
  VkQueryPool pool = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(context_.vk, CreateQueryPool, context_.device, &info, nullptr, &pool);
  if (batch.queries != VK_NULL_HANDLE) context_.vk.DestroyQueryPool(context_.device, batch.queries, nullptr);
  batch.queries = pool;
  batch.query_capacity = info.queryCount;
  return {};
}

Status VulkanEncoder::record(Batch& batch, std::span<const Command> commands, std::span<const VulkanPipeline> pipelines) {
  const DeviceFunctions& vk = context_.vk;
  const VkCommandBuffer to = batch.commands;
  VkCommandBufferBeginInfo begin{};
  begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  QUIRE_VULKAN_TRY(vk, BeginCommandBuffer, to, &begin);

  const VkMemoryBarrier between = barrier_between();
  // A barrier's first scope reaches back over earlier submissions of the queue.
  vk.CmdPipelineBarrier(to, kWorkStages, kWorkStages, 0, 1, &between, 0, nullptr, 0, nullptr);
  if (timestamps_) {
    vk.CmdResetQueryPool(to, batch.queries, 0, static_cast<uint32_t>(commands.size() + 1));
    vk.CmdWriteTimestamp(to, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, batch.queries, 0);
    batch.timed.assign(commands.begin(), commands.end());
  }
  VkPipeline bound = VK_NULL_HANDLE;
  for (size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].barrier_before && i > 0) vk.CmdPipelineBarrier(to, kWorkStages, kWorkStages, 0, 1, &between, 0, nullptr, 0, nullptr);
    record_command(to, commands[i], pipelines[i], bound);
    if (commands[i].kind == Command::Kind::replay) batch.recordings.push_back(commands[i].recording->shared_from_this());
    if (timestamps_) vk.CmdWriteTimestamp(to, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, batch.queries, static_cast<uint32_t>(i + 1));
  }
  VkMemoryBarrier to_host{};
  to_host.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  to_host.srcAccessMask = kWrites;
  to_host.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
  vk.CmdPipelineBarrier(to, kWorkStages, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &to_host, 0, nullptr, 0, nullptr);
  QUIRE_VULKAN_TRY(vk, EndCommandBuffer, to);
  return {};
}

void VulkanEncoder::record_command(VkCommandBuffer to, const Command& command, const VulkanPipeline& pipeline, VkPipeline& bound) const {
  const DeviceFunctions& vk = context_.vk;
  switch (command.kind) {
    case Command::Kind::dispatch:
      if (bound != pipeline.pipeline) vk.CmdBindPipeline(to, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.pipeline);
      bound = pipeline.pipeline;
      vk.CmdPushConstants(to, pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, kernel_info(command.kernel.id).args_bytes, command.args.data());
      vk.CmdDispatch(to, command.groups[0], command.groups[1], command.groups[2]);
      break;
    case Command::Kind::copy: {
      const VkBufferCopy region = {command.source.offset_bytes, command.destination.offset_bytes, command.destination.size_bytes};
      vk.CmdCopyBuffer(to, handle_of(command.source), handle_of(command.destination), 1, &region);
      break;
    }
    case Command::Kind::fill:
      vk.CmdFillBuffer(to, handle_of(command.destination), command.destination.offset_bytes, command.destination.size_bytes, command.fill_word);
      break;
    case Command::Kind::replay:
      vk.CmdExecuteCommands(to, 1, &static_cast<const SecondaryCommands*>(command.recording)->handle);
      bound = VK_NULL_HANDLE;  // nothing is bound after it
      break;
  }
}

Status VulkanEncoder::submit_to_queue(const Batch& batch) {
  VkTimelineSemaphoreSubmitInfo values{};
  values.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
  values.signalSemaphoreValueCount = 1;
  values.pSignalSemaphoreValues = &batch.signal_value;
  VkSubmitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  info.pNext = &values;
  info.commandBufferCount = 1;
  info.pCommandBuffers = &batch.commands;
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &timeline_;
  const QueueLock lock(context_);
  QUIRE_VULKAN_TRY(context_.vk, QueueSubmit, context_.queue, 1, &info, VK_NULL_HANDLE);
  return {};
}

Result<uint64_t> VulkanEncoder::completed() {
  uint64_t value = 0;
  QUIRE_VULKAN_TRY(context_.vk, GetSemaphoreCounterValue, context_.device, timeline_, &value);
  return value;
}

Status VulkanEncoder::wait(uint64_t timeline_value, std::chrono::nanoseconds timeout) {
  VkSemaphoreWaitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline_;
  info.pValues = &timeline_value;
  const uint64_t limit = timeout.count() < 0 ? 0 : static_cast<uint64_t>(timeout.count());
  QUIRE_VULKAN_TRY(context_.vk, WaitSemaphores, context_.device, &info, limit);
  return {};
}

Result<std::vector<KernelTiming>> VulkanEncoder::take_timings() {
  if (!timestamps_) return std::vector<KernelTiming>{};
  QUIRE_ASSIGN(const uint64_t value, completed());
  QUIRE_TRY(recycle(value));
  return std::exchange(timings_, {});
}

Status VulkanEncoder::recycle(uint64_t value) {
  while (!in_flight_.empty() && in_flight_.front().signal_value <= value) {
    if (timestamps_) QUIRE_TRY(read_timestamps(in_flight_.front()));
    in_flight_.front().recordings.clear();
    free_.push_back(std::move(in_flight_.front()));
    in_flight_.pop_front();
  }
  return {};
}

Status VulkanEncoder::read_timestamps(const Batch& batch) {
  std::vector<uint64_t> ticks(batch.timed.size() + 1);
  QUIRE_VULKAN_TRY(context_.vk, GetQueryPoolResults, context_.device, batch.queries, 0, static_cast<uint32_t>(ticks.size()),
                   ticks.size() * sizeof(uint64_t), ticks.data(), sizeof(uint64_t), VK_QUERY_RESULT_64_BIT);
  const uint32_t bits = context_.physical.timestamp_valid_bits;
  const uint64_t mask = bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  for (size_t i = 0; i < batch.timed.size(); ++i) {
    const Command& command = batch.timed[i];
    if (command.kind != Command::Kind::dispatch) continue;
    const auto elapsed = static_cast<double>((ticks[i + 1] - ticks[i]) & mask);
    timings_.push_back({command.kernel, static_cast<uint64_t>(std::llround(elapsed * static_cast<double>(context_.physical.timestamp_period_ns))),
                        command.work});
  }
  return {};
}

void VulkanEncoder::destroy(Batch& batch) {
  if (batch.queries != VK_NULL_HANDLE) context_.vk.DestroyQueryPool(context_.device, batch.queries, nullptr);
  if (batch.commands != VK_NULL_HANDLE) context_.vk.FreeCommandBuffers(context_.device, pool_, 1, &batch.commands);
  batch = {};
}

}  // namespace quire
