// What a physical device offers, asked once and kept as values: features, the extensions we use, Limits, and why a device is refused.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/limits.hpp"
#include "engine/device/vulkan/vulkan_functions.hpp"

namespace quire {

/// Features and extensions as one value: what a physical device has, or what is enabled on a device.
struct VulkanFeatures {
  bool timeline_semaphore = false;           ///< required
  bool buffer_device_address = false;        ///< required
  bool storage_16bit = false;                ///< required: storageBuffer16BitAccess
  bool storage_8bit = false;                 ///< required: storageBuffer8BitAccess
  bool shader_float16 = false;
  bool shader_integer_dot_product = false;   ///< VK_KHR_shader_integer_dot_product
  bool cooperative_matrix = false;           ///< VK_KHR_cooperative_matrix, and the memory model that its shaders need
  MatrixShape cooperative_shape;             ///< as in Limits
  bool subgroup_size_control = false;        ///< VK_EXT_subgroup_size_control: a pipeline may ask for subgroups of subgroup_size lanes
  bool memory_budget = false;                ///< VK_EXT_memory_budget
  bool portability_subset = false;           ///< VK_KHR_portability_subset, which must be enabled where it exists
};

/// The required features that are absent, as a list of names; empty if none is.
std::string missing_requirements(const VulkanFeatures& features);

struct PhysicalDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  DeviceInfo info;                           ///< limits as queried, with what `features` says
  VulkanFeatures features;
  VkPhysicalDeviceMemoryProperties memory{};
  uint32_t queue_family = 0;                 ///< compute; without graphics where there is such a family, so that drawing is not disturbed
  uint32_t timestamp_valid_bits = 0;         ///< of that family; 0: no timestamps
  float timestamp_period_ns = 0.0f;
  uint32_t driver_version = 0;
  std::array<uint8_t, VK_UUID_SIZE> pipeline_cache_uuid{};
};

Result<PhysicalDevice> describe_physical_device(const InstanceFunctions& functions, VkPhysicalDevice handle);

/// All devices, best first.
Result<std::vector<PhysicalDevice>> describe_physical_devices(const InstanceFunctions& functions, const std::vector<VkPhysicalDevice>& handles);

/// Sets the limits that follow from features: called again with what was really enabled.
void apply_features(const VulkanFeatures& features, Limits& limits);

/// Device memory is of this kind where the host may write it in place: integrated and CPU devices.
bool has_host_visible_device_memory(DeviceType type, const VkPhysicalDeviceMemoryProperties& memory);

}  // namespace quire
