#include "engine/device/vulkan/vulkan_functions.hpp"

#include <string>

namespace quire {
namespace {

Error missing(const char* name) { return make_error(Code::unsupported, "the Vulkan driver or loader has no entry point %s", name); }

}  // namespace

Result<GlobalFunctions> load_global_functions(PFN_vkGetInstanceProcAddr get_instance_proc_addr) {
  GlobalFunctions functions;
  functions.GetInstanceProcAddr = get_instance_proc_addr;
#define LOAD(name)                                                                                       \
  functions.name = reinterpret_cast<PFN_vk##name>(get_instance_proc_addr(VK_NULL_HANDLE, "vk" #name));   \
  if (functions.name == nullptr) return missing("vk" #name);
  QUIRE_VULKAN_GLOBAL_FUNCTIONS(LOAD)
#undef LOAD
  return functions;
}

Result<InstanceFunctions> load_instance_functions(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance) {
  InstanceFunctions functions;
#define LOAD_OPTIONAL(name) functions.name = reinterpret_cast<PFN_vk##name>(get_instance_proc_addr(instance, "vk" #name));
#define LOAD(name)    \
  LOAD_OPTIONAL(name) \
  if (functions.name == nullptr) return missing("vk" #name);
  QUIRE_VULKAN_INSTANCE_FUNCTIONS(LOAD)
  QUIRE_VULKAN_DEBUG_FUNCTIONS(LOAD_OPTIONAL)
  QUIRE_VULKAN_OPTIONAL_FUNCTIONS(LOAD_OPTIONAL)
#undef LOAD
#undef LOAD_OPTIONAL
  return functions;
}

Result<DeviceFunctions> load_device_functions(const InstanceFunctions& instance_functions, VkDevice device) {
  DeviceFunctions functions;
#define LOAD(name)                                                                                       \
  functions.name = reinterpret_cast<PFN_vk##name>(instance_functions.GetDeviceProcAddr(device, "vk" #name)); \
  if (functions.name == nullptr) return missing("vk" #name);
  QUIRE_VULKAN_DEVICE_FUNCTIONS(LOAD)
#undef LOAD
  return functions;
}

std::string vulkan_result_name(VkResult result) {
  switch (result) {
#define NAME(value) \
  case value: return #value;
    NAME(VK_SUCCESS)
    NAME(VK_NOT_READY)
    NAME(VK_TIMEOUT)
    NAME(VK_INCOMPLETE)
    NAME(VK_ERROR_OUT_OF_HOST_MEMORY)
    NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY)
    NAME(VK_ERROR_INITIALIZATION_FAILED)
    NAME(VK_ERROR_DEVICE_LOST)
    NAME(VK_ERROR_MEMORY_MAP_FAILED)
    NAME(VK_ERROR_LAYER_NOT_PRESENT)
    NAME(VK_ERROR_EXTENSION_NOT_PRESENT)
    NAME(VK_ERROR_FEATURE_NOT_PRESENT)
    NAME(VK_ERROR_INCOMPATIBLE_DRIVER)
    NAME(VK_ERROR_TOO_MANY_OBJECTS)
    NAME(VK_ERROR_FRAGMENTATION)
    NAME(VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS)
    NAME(VK_ERROR_UNKNOWN)
#undef NAME
    default: return "VkResult " + std::to_string(static_cast<int>(result));
  }
}

Error vulkan_error(VkResult result, const char* call) {
  Code code = Code::internal;
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_MEMORY_MAP_FAILED: code = Code::out_of_host_memory; break;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_FRAGMENTATION:
    case VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS: code = Code::out_of_device_memory; break;
    case VK_ERROR_DEVICE_LOST: code = Code::device_lost; break;
    case VK_TIMEOUT: code = Code::timeout; break;
    case VK_ERROR_INITIALIZATION_FAILED:
    case VK_ERROR_LAYER_NOT_PRESENT:
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT:
    case VK_ERROR_INCOMPATIBLE_DRIVER: code = Code::unsupported; break;
    default: break;
  }
  return make_error(code, "%s returned %s", call, vulkan_result_name(result).c_str());
}

}  // namespace quire
