#include "engine/device/vulkan/vulkan_limits.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "engine/device/vulkan/vulkan_choice.hpp"

namespace quire {
namespace {

constexpr const char* kPortabilitySubset = "VK_KHR_portability_subset";  // its name is declared only with beta extensions

class ExtensionList {
 public:
  static Result<ExtensionList> query(const InstanceFunctions& functions, VkPhysicalDevice device) {
    uint32_t count = 0;
    QUIRE_VULKAN_TRY(functions, EnumerateDeviceExtensionProperties, device, nullptr, &count, nullptr);
    ExtensionList list;
    list.extensions_.resize(count);
    if (count > 0) QUIRE_VULKAN_TRY(functions, EnumerateDeviceExtensionProperties, device, nullptr, &count, list.extensions_.data());
    return list;
  }
  bool has(const char* name) const {
    return std::any_of(extensions_.begin(), extensions_.end(),
                       [&](const VkExtensionProperties& extension) { return std::strcmp(extension.extensionName, name) == 0; });
  }

 private:
  std::vector<VkExtensionProperties> extensions_;
};

/// Appends structs to the pNext chain of a query.
class Chain {
 public:
  template <class Head>
  explicit Chain(Head& head) : tail_(reinterpret_cast<VkBaseOutStructure*>(&head)) {}
  template <class Struct>
  void append(Struct& next, VkStructureType type) {
    next.sType = type;
    next.pNext = nullptr;
    tail_->pNext = reinterpret_cast<VkBaseOutStructure*>(&next);
    tail_ = tail_->pNext;
  }

 private:
  VkBaseOutStructure* tail_;
};

DeviceType device_type(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return DeviceType::discrete;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return DeviceType::integrated;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return DeviceType::virtual_gpu;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return DeviceType::cpu;
    default: return DeviceType::other;
  }
}

std::string version_text(uint32_t version) {
  return std::to_string(VK_API_VERSION_MAJOR(version)) + "." + std::to_string(VK_API_VERSION_MINOR(version)) + "." +
         std::to_string(VK_API_VERSION_PATCH(version));
}

bool is_side(uint32_t length) { return length == 8 || length == 16; }

MatrixShape query_cooperative_shape(const InstanceFunctions& functions, VkPhysicalDevice device) {
  if (functions.GetPhysicalDeviceCooperativeMatrixPropertiesKHR == nullptr) return {};
  uint32_t count = 0;
  if (functions.GetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, nullptr) != VK_SUCCESS) return {};
  VkCooperativeMatrixPropertiesKHR empty{};
  empty.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
  std::vector<VkCooperativeMatrixPropertiesKHR> offers(count, empty);
  if (count == 0 || functions.GetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, offers.data()) != VK_SUCCESS) return {};
  MatrixShape largest;
  for (const VkCooperativeMatrixPropertiesKHR& offer : offers) {
    const MatrixShape shape{offer.MSize, offer.NSize, offer.KSize};
    const bool fits = is_side(shape.rows) && is_side(shape.columns) && is_side(shape.depth) && offer.scope == VK_SCOPE_SUBGROUP_KHR;
    const bool half = offer.AType == VK_COMPONENT_TYPE_FLOAT16_KHR && offer.BType == VK_COMPONENT_TYPE_FLOAT16_KHR;
    const bool single = offer.CType == VK_COMPONENT_TYPE_FLOAT32_KHR && offer.ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR;
    if (fits && half && single && offer.saturatingAccumulation == VK_FALSE && shape.products() > largest.products()) largest = shape;
  }
  return largest;
}

VulkanFeatures query_features(const InstanceFunctions& functions, VkPhysicalDevice device, const ExtensionList& extensions) {
  VkPhysicalDeviceFeatures2 head{};
  head.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  Chain chain(head);
  VkPhysicalDeviceVulkan11Features vulkan11{};
  chain.append(vulkan11, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES);
  VkPhysicalDeviceVulkan12Features vulkan12{};
  chain.append(vulkan12, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
  VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot{};
  if (extensions.has(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME))
    chain.append(dot, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR);
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix{};
  if (extensions.has(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME))
    chain.append(matrix, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR);
  VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes{};
  if (extensions.has(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME))
    chain.append(sizes, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT);
  functions.GetPhysicalDeviceFeatures2(device, &head);

  VulkanFeatures features;
  features.timeline_semaphore = vulkan12.timelineSemaphore == VK_TRUE;
  features.buffer_device_address = vulkan12.bufferDeviceAddress == VK_TRUE;
  features.storage_16bit = vulkan11.storageBuffer16BitAccess == VK_TRUE;
  features.storage_8bit = vulkan12.storageBuffer8BitAccess == VK_TRUE;
  features.shader_float16 = vulkan12.shaderFloat16 == VK_TRUE;
  features.shader_integer_dot_product = dot.shaderIntegerDotProduct == VK_TRUE;
  features.subgroup_size_control = sizes.subgroupSizeControl == VK_TRUE && sizes.computeFullSubgroups == VK_TRUE;
  features.cooperative_matrix =
      matrix.cooperativeMatrix == VK_TRUE && vulkan12.vulkanMemoryModel == VK_TRUE && vulkan12.vulkanMemoryModelDeviceScope == VK_TRUE;
  if (features.cooperative_matrix && features.shader_float16 && features.subgroup_size_control)
    features.cooperative_shape = query_cooperative_shape(functions, device);
  features.memory_budget = extensions.has(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  features.portability_subset = extensions.has(kPortabilitySubset);
  return features;
}

void query_properties(const InstanceFunctions& functions, const ExtensionList& extensions, PhysicalDevice& device) {
  VkPhysicalDeviceProperties2 head{};
  head.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  Chain chain(head);
  VkPhysicalDeviceIDProperties id{};
  chain.append(id, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES);
  VkPhysicalDeviceDriverProperties driver{};
  chain.append(driver, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES);
  VkPhysicalDeviceMaintenance3Properties allocation{};
  chain.append(allocation, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES);
  VkPhysicalDeviceSubgroupProperties subgroup{};
  chain.append(subgroup, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES);
  VkPhysicalDeviceSubgroupSizeControlPropertiesEXT subgroup_sizes{};
  if (extensions.has(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME))
    chain.append(subgroup_sizes, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT);
  VkPhysicalDeviceMaintenance4PropertiesKHR buffer{};
  if (extensions.has(VK_KHR_MAINTENANCE_4_EXTENSION_NAME)) chain.append(buffer, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES_KHR);
  functions.GetPhysicalDeviceProperties2(device.handle, &head);

  const VkPhysicalDeviceProperties& properties = head.properties;
  DeviceInfo& info = device.info;
  info.name = properties.deviceName;
  info.driver = std::string(driver.driverName) + " " + driver.driverInfo;
  std::copy_n(id.deviceUUID, info.uuid.size(), info.uuid.begin());
  device.timestamp_period_ns = properties.limits.timestampPeriod;
  device.driver_version = properties.driverVersion;
  std::copy_n(properties.pipelineCacheUUID, VK_UUID_SIZE, device.pipeline_cache_uuid.begin());

  Limits& limits = info.limits;
  const VkPhysicalDeviceLimits& from = properties.limits;
  // A kernel's workgroup has one dimension.
  limits.max_workgroup_invocations = std::min(from.maxComputeWorkGroupInvocations, from.maxComputeWorkGroupSize[0]);
  std::copy_n(from.maxComputeWorkGroupCount, 3, limits.max_workgroup_count.begin());
  limits.max_shared_bytes = from.maxComputeSharedMemorySize;
  limits.max_push_constant_bytes = from.maxPushConstantsSize;
  limits.max_buffer_count = from.maxMemoryAllocationCount;
  limits.max_buffer_bytes = allocation.maxMemoryAllocationSize;
  if (buffer.maxBufferSize != 0) limits.max_buffer_bytes = std::min<uint64_t>(limits.max_buffer_bytes, buffer.maxBufferSize);
  constexpr VkSubgroupFeatureFlags kNeeded = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
  if ((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0) {
    limits.subgroup_size = std::max(subgroup.subgroupSize, 1u);
    limits.subgroup_arithmetic = (subgroup.supportedOperations & kNeeded) == kNeeded;
    limits.subgroup_broadcast = (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_BALLOT_BIT) != 0 &&
                                subgroup_sizes.minSubgroupSize == limits.subgroup_size && subgroup_sizes.maxSubgroupSize == limits.subgroup_size;
  }
}

std::optional<uint32_t> choose_queue_family(const std::vector<VkQueueFamilyProperties>& families) {
  std::optional<uint32_t> best;
  for (uint32_t i = 0; i < families.size(); ++i) {
    const VkQueueFlags flags = families[i].queueFlags;
    if ((flags & VK_QUEUE_COMPUTE_BIT) == 0 || families[i].queueCount == 0) continue;
    if ((flags & VK_QUEUE_GRAPHICS_BIT) == 0) return i;
    if (!best) best = i;
  }
  return best;
}

uint64_t device_heap_bytes(const VkPhysicalDeviceMemoryProperties& memory) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < memory.memoryHeapCount; ++i)
    if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0) bytes = std::max<uint64_t>(bytes, memory.memoryHeaps[i].size);
  return bytes;
}

}  // namespace

std::string missing_requirements(const VulkanFeatures& features) {
  std::string missing;
  const auto require = [&](bool present, const char* name) {
    if (!present) missing += (missing.empty() ? "" : ", ") + std::string(name);
  };
  require(features.timeline_semaphore, "timelineSemaphore");
  require(features.buffer_device_address, "bufferDeviceAddress");
  require(features.storage_16bit, "storageBuffer16BitAccess");
  require(features.storage_8bit, "storageBuffer8BitAccess");
  return missing;
}

void apply_features(const VulkanFeatures& features, Limits& limits) {
  limits.float16_arithmetic = features.shader_float16;
  limits.integer_dot_product = features.shader_integer_dot_product;
  limits.cooperative_matrix = features.cooperative_matrix;
  limits.cooperative_shape = features.cooperative_shape;
  limits.memory_budget = features.memory_budget;
}

bool has_host_visible_device_memory(DeviceType type, const VkPhysicalDeviceMemoryProperties& memory) {
  if (type != DeviceType::integrated && type != DeviceType::cpu) return false;
  constexpr VkMemoryPropertyFlags kWanted =
      VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  for (uint32_t i = 0; i < memory.memoryTypeCount; ++i)
    if ((memory.memoryTypes[i].propertyFlags & kWanted) == kWanted) return true;
  return false;
}

Result<PhysicalDevice> describe_physical_device(const InstanceFunctions& functions, VkPhysicalDevice handle) {
  PhysicalDevice device;
  device.handle = handle;
  VkPhysicalDeviceProperties properties{};
  functions.GetPhysicalDeviceProperties(handle, &properties);
  DeviceInfo& info = device.info;
  info.backend = BackendKind::vulkan;
  info.type = device_type(properties.deviceType);
  info.name = properties.deviceName;
  info.api_version = version_text(properties.apiVersion);
  info.vendor_id = properties.vendorID;
  info.device_id = properties.deviceID;
  if (properties.apiVersion < VK_API_VERSION_1_2) {
    info.refusal = "its Vulkan version is " + info.api_version + ", below 1.2";
    return device;
  }
  QUIRE_ASSIGN(const ExtensionList extensions, ExtensionList::query(functions, handle));
  query_properties(functions, extensions, device);
  device.features = query_features(functions, handle, extensions);
  functions.GetPhysicalDeviceMemoryProperties(handle, &device.memory);
  info.limits.max_device_bytes = device_heap_bytes(device.memory);
  if (info.limits.max_device_bytes != 0) info.limits.max_buffer_bytes = std::min(info.limits.max_buffer_bytes, info.limits.max_device_bytes);
  info.limits.on_processor = info.type == DeviceType::cpu;
  info.limits.host_visible_device_memory = has_host_visible_device_memory(info.type, device.memory);
  apply_features(device.features, info.limits);

  uint32_t family_count = 0;
  functions.GetPhysicalDeviceQueueFamilyProperties(handle, &family_count, nullptr);
  std::vector<VkQueueFamilyProperties> families(family_count);
  functions.GetPhysicalDeviceQueueFamilyProperties(handle, &family_count, families.data());
  const std::optional<uint32_t> family = choose_queue_family(families);
  if (family) {
    device.queue_family = *family;
    device.timestamp_valid_bits = families[*family].timestampValidBits;
  }
  const std::string missing = missing_requirements(device.features);
  if (!missing.empty()) info.refusal = "it lacks " + missing;
  else if (!family) info.refusal = "it has no compute queue";
  info.usable = info.refusal.empty();
  return device;
}

Result<std::vector<PhysicalDevice>> describe_physical_devices(const InstanceFunctions& functions, const std::vector<VkPhysicalDevice>& handles) {
  std::vector<PhysicalDevice> devices;
  for (VkPhysicalDevice handle : handles) {
    QUIRE_ASSIGN(PhysicalDevice device, describe_physical_device(functions, handle));
    devices.push_back(std::move(device));
  }
  std::stable_sort(devices.begin(), devices.end(),
                   [](const PhysicalDevice& a, const PhysicalDevice& b) { return device_rank(a.info) < device_rank(b.info); });
  return devices;
}

}  // namespace quire
