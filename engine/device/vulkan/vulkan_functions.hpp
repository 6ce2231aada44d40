// Every Vulkan entry point the backend calls, in one table an instance and one a device, filled from a vkGetInstanceProcAddr.
// Nothing here or elsewhere in the library refers to a global Vulkan symbol.
#pragma once

#include <span>

#include "engine/base/result.hpp"
#include "engine/device/vulkan/vulkan_extensions.hpp"

namespace quire {

#define QUIRE_VULKAN_GLOBAL_FUNCTIONS(X) \
  X(CreateInstance) X(EnumerateInstanceExtensionProperties) X(EnumerateInstanceLayerProperties) X(EnumerateInstanceVersion)

#define QUIRE_VULKAN_INSTANCE_FUNCTIONS(X)                                                                                               \
  X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties) X(GetPhysicalDeviceProperties2)                          \
  X(GetPhysicalDeviceFeatures2) X(GetPhysicalDeviceMemoryProperties) X(GetPhysicalDeviceMemoryProperties2)                               \
  X(GetPhysicalDeviceQueueFamilyProperties) X(EnumerateDeviceExtensionProperties) X(CreateDevice) X(GetDeviceProcAddr)

/// Present only when VK_EXT_debug_utils was enabled.
#define QUIRE_VULKAN_DEBUG_FUNCTIONS(X) X(CreateDebugUtilsMessengerEXT) X(DestroyDebugUtilsMessengerEXT) X(SetDebugUtilsObjectNameEXT)

#define QUIRE_VULKAN_DEVICE_FUNCTIONS(X)                                                                                                 \
  X(DestroyDevice) X(GetDeviceQueue)                                                                                                     \
  X(CreateBuffer) X(DestroyBuffer) X(GetBufferMemoryRequirements) X(AllocateMemory) X(FreeMemory) X(BindBufferMemory) X(MapMemory)       \
  X(GetBufferDeviceAddress)                                                                                                              \
  X(CreateShaderModule) X(DestroyShaderModule) X(CreatePipelineLayout) X(DestroyPipelineLayout) X(CreateComputePipelines)                \
  X(DestroyPipeline) X(CreatePipelineCache) X(DestroyPipelineCache) X(GetPipelineCacheData)                                              \
  X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers) X(FreeCommandBuffers) X(BeginCommandBuffer) X(EndCommandBuffer)   \
  X(CreateQueryPool) X(DestroyQueryPool) X(GetQueryPoolResults)                                                                          \
  X(CreateSemaphore) X(DestroySemaphore) X(WaitSemaphores) X(GetSemaphoreCounterValue) X(QueueSubmit)                                    \
  X(CmdBindPipeline) X(CmdPushConstants) X(CmdDispatch) X(CmdCopyBuffer) X(CmdFillBuffer) X(CmdPipelineBarrier) X(CmdExecuteCommands)    \
  X(CmdResetQueryPool) X(CmdWriteTimestamp)

/// Present only where a device has VK_KHR_cooperative_matrix.
#define QUIRE_VULKAN_OPTIONAL_FUNCTIONS(X) X(GetPhysicalDeviceCooperativeMatrixPropertiesKHR)

#define QUIRE_DECLARE(name) PFN_vk##name name = nullptr;
struct GlobalFunctions {
  PFN_vkGetInstanceProcAddr GetInstanceProcAddr = nullptr;
  QUIRE_VULKAN_GLOBAL_FUNCTIONS(QUIRE_DECLARE)
};
struct InstanceFunctions {
  QUIRE_VULKAN_INSTANCE_FUNCTIONS(QUIRE_DECLARE)
  QUIRE_VULKAN_DEBUG_FUNCTIONS(QUIRE_DECLARE)
  QUIRE_VULKAN_OPTIONAL_FUNCTIONS(QUIRE_DECLARE)
};
struct DeviceFunctions {
  QUIRE_VULKAN_DEVICE_FUNCTIONS(QUIRE_DECLARE)
};
#undef QUIRE_DECLARE

/// On error: unsupported, naming the missing entry point.
Result<GlobalFunctions> load_global_functions(PFN_vkGetInstanceProcAddr get_instance_proc_addr);
Result<InstanceFunctions> load_instance_functions(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance);
Result<DeviceFunctions> load_device_functions(const InstanceFunctions& functions, VkDevice device);

/// "VK_ERROR_DEVICE_LOST", or "VkResult -1234" for one that has no name here.
std::string vulkan_result_name(VkResult result);
/// The Error for a VkResult that is not success. `call` is the entry point's name.
Error vulkan_error(VkResult result, const char* call);

/// QUIRE_VULKAN_TRY(functions, CreateBuffer, device, ...): calls and returns the error from the calling function unless it succeeded.
#define QUIRE_VULKAN_TRY(functions, name, ...)                                                               \
  do {                                                                                                       \
    if (const VkResult quire_result_ = (functions).name(__VA_ARGS__); quire_result_ != VK_SUCCESS)           \
      return vulkan_error(quire_result_, "vk" #name);                                                        \
  } while (0)

}  // namespace quire
