// Buffers: one VkDeviceMemory each, with a device address.
#pragma once

#include "engine/device/backend.hpp"
#include "engine/device/vulkan/vulkan_context.hpp"

namespace quire {

class VulkanBuffer final : public BackendBuffer {
 public:
  /// `context` must outlive the buffer. On error: out_of_*_memory, device_lost; nothing is left behind.
  static Result<std::unique_ptr<VulkanBuffer>> create(const VulkanContext& context, uint64_t bytes, BufferUse use, const char* label);
  VulkanBuffer(const VulkanBuffer&) = delete;
  VulkanBuffer& operator=(const VulkanBuffer&) = delete;
  ~VulkanBuffer() override;

  VkBuffer handle() const { return buffer_; }

 private:
  explicit VulkanBuffer(const VulkanContext& context) : context_(context) {}
  Status allocate(const char* label);

  const VulkanContext& context_;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
};

/// The best of the memory types in `type_bits` for a use, or none.
std::optional<uint32_t> choose_memory_type(const VkPhysicalDeviceMemoryProperties& memory, uint32_t type_bits, BufferUse use,
                                           bool host_visible_device_memory);

/// Only the heap_* fields; zeros without VK_EXT_memory_budget.
DeviceMemory query_memory_budget(const VulkanContext& context);

}  // namespace quire
