// A VkDevice that the caller made. No Vulkan header is needed to read this: handles are passed as they are, as pointers and integers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quire {

/// Requires: instance, device and queue outlive the Device; the queue family supports compute.
/// The features that were enabled are a value handed in, because Vulkan cannot be asked for them afterwards.
struct VulkanAdoption {
  void* get_instance_proc_addr = nullptr;  ///< PFN_vkGetInstanceProcAddr
  void* instance = nullptr;                ///< VkInstance
  void* physical_device = nullptr;         ///< VkPhysicalDevice
  void* device = nullptr;                  ///< VkDevice
  void* queue = nullptr;                   ///< VkQueue
  uint32_t queue_family = 0;
  uint32_t api_version = 0;                ///< of the instance, as given to vkCreateInstance
  std::vector<std::string> device_extensions;  ///< enabled ones
  bool timeline_semaphore = false;
  bool buffer_device_address = false;
  bool storage_16bit = false;
  bool storage_8bit = false;
  bool shader_float16 = false;
  bool shader_integer_dot_product = false;
  /// Called around every use of the queue; may be null if only this Device uses it.
  void (*lock_queue)(void* user) = nullptr;
  void (*unlock_queue)(void* user) = nullptr;
  void* user = nullptr;
};

}  // namespace quire
