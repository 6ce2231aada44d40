// A VkDevice with its queue and what is known about it. The parts of the backend borrow it; VulkanDevice owns it.
#pragma once

#include "engine/device/vulkan/vulkan_limits.hpp"
#include "engine/device/vulkan_adoption.hpp"

namespace quire {

struct VulkanContext {
  const InstanceFunctions* instance_functions = nullptr;
  DeviceFunctions vk;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  PhysicalDevice physical;         ///< queue_family is the queue's; info and features are what was enabled
  bool debug_names = false;
  void (*lock_queue)(void* user) = nullptr;
  void (*unlock_queue)(void* user) = nullptr;
  void* user = nullptr;

  /// Names an object for validation messages and debuggers, if validation is on.
  Status name(VkObjectType type, uint64_t handle, const char* label) const;
};

}  // namespace quire
