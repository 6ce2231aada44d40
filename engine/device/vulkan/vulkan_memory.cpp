#include "engine/device/vulkan/vulkan_memory.hpp"

#include <bit>
#include <cinttypes>
#include <optional>

namespace quire {
namespace {

/// Handles are pointers on 64-bit systems and integers on 32-bit ones.
template <class Handle>
uint64_t handle_bits(Handle handle) {
  return (uint64_t)handle;  // NOLINT: the one conversion that both kinds of handle have
}

}  // namespace

std::optional<uint32_t> choose_memory_type(const VkPhysicalDeviceMemoryProperties& memory, uint32_t type_bits, BufferUse use,
                                           bool host_visible_device_memory) {
  constexpr VkMemoryPropertyFlags kMapped = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  constexpr VkMemoryPropertyFlags kKnown = kMapped | VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  VkMemoryPropertyFlags required = kMapped;
  VkMemoryPropertyFlags preferred = 0;
  VkMemoryPropertyFlags avoided = 0;
  switch (use) {
    case BufferUse::device:
      required = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | (host_visible_device_memory ? kMapped : 0u);
      preferred = host_visible_device_memory ? VkMemoryPropertyFlags{VK_MEMORY_PROPERTY_HOST_CACHED_BIT} : 0u;
      avoided = host_visible_device_memory ? 0u : kMapped;  // leaves a small window of visible memory to those who need it
      break;
    case BufferUse::upload: avoided = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT; break;
    case BufferUse::readback:
      preferred = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
      avoided = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
      break;
  }
  std::optional<uint32_t> best;
  int best_score = 0;
  for (uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
    const VkMemoryPropertyFlags flags = memory.memoryTypes[i].propertyFlags;
    if ((type_bits >> i & 1u) == 0 || (flags & required) != required) continue;
    if ((flags & ~kKnown) != 0) continue;  // protected, lazily allocated or uncached memory needs features we do not enable
    const int score = 4 * std::popcount(flags & preferred) - std::popcount(flags & avoided);
    if (!best || score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

Result<std::unique_ptr<VulkanBuffer>> VulkanBuffer::create(const VulkanContext& context, uint64_t bytes, BufferUse use, const char* label) {
  std::unique_ptr<VulkanBuffer> buffer(new VulkanBuffer(context));
  buffer->size_bytes = bytes;
  buffer->use = use;
  QUIRE_TRY(buffer->allocate(label));
  return buffer;
}

Status VulkanBuffer::allocate(const char* label) {
  const DeviceFunctions& vk = context_.vk;
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = size_bytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
               VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
  VkBuffer buffer = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(vk, CreateBuffer, context_.device, &info, nullptr, &buffer);
  buffer_ = buffer;  // only now: what a failed call leaves behind is undefined
  QUIRE_TRY(context_.name(VK_OBJECT_TYPE_BUFFER, handle_bits(buffer_), label));

  VkMemoryRequirements requirements{};
  vk.GetBufferMemoryRequirements(context_.device, buffer_, &requirements);
  const PhysicalDevice& physical = context_.physical;
  const auto type = choose_memory_type(physical.memory, requirements.memoryTypeBits, use, physical.info.limits.host_visible_device_memory);
  if (!type) return make_error(Code::unsupported, "%s has no memory type for the buffer '%s'", physical.info.name.c_str(), label);

  VkMemoryAllocateFlagsInfo flags{};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  VkMemoryAllocateInfo allocation{};
  allocation.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  allocation.pNext = &flags;
  allocation.allocationSize = requirements.size;
  allocation.memoryTypeIndex = *type;
  VkDeviceMemory allocated = VK_NULL_HANDLE;
  if (const VkResult result = vk.AllocateMemory(context_.device, &allocation, nullptr, &allocated); result != VK_SUCCESS) {
    const Error error = vulkan_error(result, "vkAllocateMemory");
    return make_error(error.code, "%s for the %" PRIu64 " bytes of the buffer '%s'", error.message.c_str(), size_bytes, label);
  }
  memory_ = allocated;
  QUIRE_TRY(context_.name(VK_OBJECT_TYPE_DEVICE_MEMORY, handle_bits(memory_), label));
  QUIRE_VULKAN_TRY(vk, BindBufferMemory, context_.device, buffer_, memory_, 0);
  if ((physical.memory.memoryTypes[*type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0 &&
      (use != BufferUse::device || physical.info.limits.host_visible_device_memory)) {
    void* pointer = nullptr;
    QUIRE_VULKAN_TRY(vk, MapMemory, context_.device, memory_, 0, VK_WHOLE_SIZE, 0, &pointer);
    mapped = static_cast<std::byte*>(pointer);
  }
  VkBufferDeviceAddressInfo address_info{};
  address_info.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
  address_info.buffer = buffer_;
  address = vk.GetBufferDeviceAddress(context_.device, &address_info);
  return {};
}

VulkanBuffer::~VulkanBuffer() {
  // Freeing memory also unmaps it.
  if (buffer_ != VK_NULL_HANDLE) context_.vk.DestroyBuffer(context_.device, buffer_, nullptr);
  if (memory_ != VK_NULL_HANDLE) context_.vk.FreeMemory(context_.device, memory_, nullptr);
}

DeviceMemory query_memory_budget(const VulkanContext& context) {
  DeviceMemory result;
  if (!context.physical.features.memory_budget) return result;
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{};
  budget.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
  VkPhysicalDeviceMemoryProperties2 head{};
  head.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
  head.pNext = &budget;
  context.instance_functions->GetPhysicalDeviceMemoryProperties2(context.physical.handle, &head);
  const VkPhysicalDeviceMemoryProperties& memory = context.physical.memory;
  const auto type = choose_memory_type(memory, ~0u, BufferUse::device, context.physical.info.limits.host_visible_device_memory);
  if (!type) return result;
  const uint32_t heap = memory.memoryTypes[*type].heapIndex;
  result.heap_used_bytes = budget.heapUsage[heap];
  result.heap_budget_bytes = budget.heapBudget[heap];
  return result;
}

Status VulkanContext::name(VkObjectType type, uint64_t handle, const char* label) const {
  if (!debug_names) return {};
  VkDebugUtilsObjectNameInfoEXT info{};
  info.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT;
  info.objectType = type;
  info.objectHandle = handle;
  info.pObjectName = label;
  QUIRE_VULKAN_TRY(*instance_functions, SetDebugUtilsObjectNameEXT, device, &info);
  return {};
}

}  // namespace quire
