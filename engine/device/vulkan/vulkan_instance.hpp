// The Vulkan instance: our own, with the validation layers if asked for, or a host's that is only borrowed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "engine/device/vulkan/vulkan_functions.hpp"
#include "engine/platform/dynamic_library.hpp"

namespace quire {

class VulkanInstance {
 public:
  /// On error: unsupported (no loader, no Vulkan 1.2, or validation asked for and not installed), out_of_*_memory.
  static Result<std::unique_ptr<VulkanInstance>> create(const DeviceOptions& options);
  /// Borrows a host's instance, which must outlive this object.
  static Result<std::unique_ptr<VulkanInstance>> borrow(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance);

  VulkanInstance(const VulkanInstance&) = delete;
  VulkanInstance& operator=(const VulkanInstance&) = delete;
  ~VulkanInstance();

  const InstanceFunctions& functions() const { return functions_; }
  /// VK_EXT_debug_utils is enabled: objects can be named.
  bool debug_utils() const { return messenger_ != VK_NULL_HANDLE; }
  Result<std::vector<VkPhysicalDevice>> physical_devices() const;

 private:
  VulkanInstance() = default;
  Status create_instance(const GlobalFunctions& global, const DeviceOptions& options);
  Status create_messenger();

  std::optional<DynamicLibrary> loader_;  ///< closed last; empty if the entry points came from the caller
  InstanceFunctions functions_;
  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  std::function<void(const char*)> message_;  ///< the messenger points at it
  bool owned_ = false;
};

}  // namespace quire
