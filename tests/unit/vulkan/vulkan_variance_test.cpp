// Devices unlike the one at hand, made by hiding features and extensions and lowering limits.
#include "tests/support/vulkan_fixture.hpp"
#include "tests/support/vulkan_shim.hpp"
#include "tests/unit/vulkan/small_step.hpp"

using namespace quire;
using namespace quire::test;

namespace {

using Vulkan11 = VkPhysicalDeviceVulkan11Features;
using Vulkan12 = VkPhysicalDeviceVulkan12Features;

void hide(VulkanShim& shim, VkBool32 Vulkan12::*feature) {
  shim.edit_features = [feature](VkBaseOutStructure* item) {
    if (auto* features = as<Vulkan12>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES)) features->*feature = VK_FALSE;
  };
}

void hide(VulkanShim& shim, VkBool32 Vulkan11::*feature) {
  shim.edit_features = [feature](VkBaseOutStructure* item) {
    if (auto* features = as<Vulkan11>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES)) features->*feature = VK_FALSE;
  };
}

DeviceOptions through(VulkanShim& shim, ValidationLog& log) {
  DeviceOptions options = log.options();
  options.get_instance_proc_addr = shim.entry();
  return options;
}

template <class Feature>
void check_refused(Feature feature, const char* name) {
  CAPTURE(name);
  ValidationLog log;
  VulkanShim shim;
  hide(shim, feature);
  const auto list = Device::list(through(shim, log));
  REQUIRE(list.ok());
  REQUIRE_FALSE(list->empty());
  CHECK_FALSE(list->front().usable);
  CHECK(list->front().refusal.find(name) != std::string::npos);
  const auto device = Device::open(through(shim, log));
  CHECK(device.code() == Code::unsupported);
  if (!device.ok()) CHECK(device.error().message.find(name) != std::string::npos);
  CHECK(shim.live_objects().empty());
}

/// Opens with what the shim shows, runs the step, and returns the limits.
Limits works(VulkanShim& shim, DeviceOptions options) {
  Result<Device> device = Device::open(options);
  REQUIRE_MESSAGE(device.ok(), (device.ok() ? std::string() : device.error().message));
  const auto result = small_step(*device);
  REQUIRE(result.ok());
  CHECK(*result == small_step_expected());
  CHECK(shim.calls("vkQueueSubmit") > 0);
  return device->limits();
}

}  // namespace

TEST_CASE("vulkan_variance: a device without a required feature is listed as not usable and refused by the feature's name") {
  check_refused(&Vulkan12::timelineSemaphore, "timelineSemaphore");
  check_refused(&Vulkan12::bufferDeviceAddress, "bufferDeviceAddress");
  check_refused(&Vulkan12::storageBuffer8BitAccess, "storageBuffer8BitAccess");
  check_refused(&Vulkan11::storageBuffer16BitAccess, "storageBuffer16BitAccess");
}

TEST_CASE("vulkan_variance: several missing features are all named") {
  ValidationLog log;
  VulkanShim shim;
  shim.edit_features = [](VkBaseOutStructure* item) {
    if (auto* features = as<Vulkan12>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES)) {
      features->timelineSemaphore = VK_FALSE;
      features->storageBuffer8BitAccess = VK_FALSE;
    }
  };
  const auto device = Device::open(through(shim, log));
  REQUIRE_FALSE(device.ok());
  CHECK(device.error().message.find("timelineSemaphore, storageBuffer8BitAccess") != std::string::npos);
}

TEST_CASE("vulkan_variance: an old device and one without compute are refused") {
  ValidationLog log;
  VulkanShim old;
  old.edit_properties = [](VkBaseOutStructure* item) {
    if (auto* head = as<VkPhysicalDeviceProperties2>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2))
      head->properties.apiVersion = VK_API_VERSION_1_1;
  };
  const auto device = Device::open(through(old, log));
  REQUIRE(device.code() == Code::unsupported);
  CHECK(device.error().message.find("1.2") != std::string::npos);
}

TEST_CASE("vulkan_variance: a device without a compute queue is refused") {
  ValidationLog log;
  VulkanShim shim;
  shim.edit_queue_family = [](VkQueueFamilyProperties& family) { family.queueFlags = VK_QUEUE_TRANSFER_BIT; };
  const auto device = Device::open(through(shim, log));
  REQUIRE(device.code() == Code::unsupported);
  CHECK(device.error().message.find("compute") != std::string::npos);
}

TEST_CASE("vulkan_variance: without float16 arithmetic the device works and says so") {
  ValidationLog log;
  VulkanShim shim;
  hide(shim, &Vulkan12::shaderFloat16);
  CHECK_FALSE(works(shim, through(shim, log)).float16_arithmetic);
}

TEST_CASE("vulkan_variance: without each optional extension the device works and says so") {
  struct Optional {
    const char* extension;
    bool Limits::*limit;
  };
  for (const Optional& optional : {Optional{VK_EXT_MEMORY_BUDGET_EXTENSION_NAME, &Limits::memory_budget},
                                   Optional{VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, &Limits::integer_dot_product},
                                   Optional{VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, &Limits::cooperative_matrix},
                                   Optional{VK_KHR_MAINTENANCE_4_EXTENSION_NAME, nullptr},
                                   Optional{VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME, nullptr}}) {
    CAPTURE(optional.extension);
    ValidationLog log;
    VulkanShim shim;
    shim.hidden_extensions = {optional.extension};
    const Limits limits = works(shim, through(shim, log));
    if (optional.limit != nullptr) CHECK_FALSE(limits.*optional.limit);
  }
}

TEST_CASE("vulkan_variance: without subgroups there is one lane and no subgroup arithmetic") {
  ValidationLog log;
  VulkanShim shim;
  shim.edit_properties = [](VkBaseOutStructure* item) {
    if (auto* subgroup = as<VkPhysicalDeviceSubgroupProperties>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES))
      subgroup->supportedStages = 0;
  };
  const Limits limits = works(shim, through(shim, log));
  CHECK(limits.subgroup_size == 1);
  CHECK_FALSE(limits.subgroup_arithmetic);
}

TEST_CASE("vulkan_variance: without timestamps there are no timings and everything else works") {
  ValidationLog log;
  VulkanShim shim;
  shim.edit_queue_family = [](VkQueueFamilyProperties& family) { family.timestampValidBits = 0; };
  DeviceOptions options = through(shim, log);
  options.timestamps = true;
  Result<Device> device = Device::open(options);
  REQUIRE(device.ok());
  REQUIRE(small_step(*device).ok());
  const auto timings = device->take_timings();
  REQUIRE(timings.ok());
  CHECK(timings->empty());
}

TEST_CASE("vulkan_variance: lowered limits are the ones reported") {
  ValidationLog log;
  VulkanShim shim;
  shim.edit_properties = [](VkBaseOutStructure* item) {
    if (auto* head = as<VkPhysicalDeviceProperties2>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2)) {
      head->properties.limits.maxComputeWorkGroupInvocations = 128;
      head->properties.limits.maxComputeWorkGroupSize[0] = 64;
      head->properties.limits.maxComputeWorkGroupCount[1] = 77;
      head->properties.limits.maxComputeSharedMemorySize = 16384;
      head->properties.limits.maxPushConstantsSize = 128;
      head->properties.limits.maxMemoryAllocationCount = 9;
    }
    if (auto* allocation = as<VkPhysicalDeviceMaintenance3Properties>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES))
      allocation->maxMemoryAllocationSize = uint64_t{64} << 20;
  };
  const Limits limits = works(shim, through(shim, log));
  CHECK(limits.max_workgroup_invocations == 64);
  CHECK(limits.max_workgroup_count[1] == 77);
  CHECK(limits.max_shared_bytes == 16384);
  CHECK(limits.max_push_constant_bytes == 128);
  CHECK(limits.max_buffer_count == 9);
  CHECK(limits.max_buffer_bytes == uint64_t{64} << 20);
}

TEST_CASE("vulkan_variance: the largest buffer is the smallest of the driver's bounds, the heap included") {
  ValidationLog log;
  VulkanShim by_size;
  by_size.edit_properties = [](VkBaseOutStructure* item) {
    if (auto* buffer = as<VkPhysicalDeviceMaintenance4Properties>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES))
      buffer->maxBufferSize = uint64_t{32} << 20;
  };
  CHECK(works(by_size, through(by_size, log)).max_buffer_bytes == uint64_t{32} << 20);
}

TEST_CASE("vulkan_variance: a small heap bounds the largest buffer") {
  ValidationLog log;
  VulkanShim shim;
  shim.edit_memory = [](VkPhysicalDeviceMemoryProperties& memory) {
    for (uint32_t i = 0; i < memory.memoryHeapCount; ++i) memory.memoryHeaps[i].size = uint64_t{16} << 20;
  };
  const Limits limits = works(shim, through(shim, log));
  CHECK(limits.max_device_bytes == uint64_t{16} << 20);
  CHECK(limits.max_buffer_bytes == uint64_t{16} << 20);
}

TEST_CASE("vulkan_variance: a discrete device's own memory is not mapped") {
  ValidationLog log;
  VulkanShim shim;
  shim.edit_properties = [](VkBaseOutStructure* item) {
    if (auto* head = as<VkPhysicalDeviceProperties2>(item, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2))
      head->properties.deviceType = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  };
  CHECK_FALSE(works(shim, through(shim, log)).host_visible_device_memory);
}

TEST_CASE("vulkan_variance: adjust_limits has the last word") {
  ValidationLog log;
  VulkanShim shim;
  DeviceOptions options = through(shim, log);
  options.adjust_limits = [](Limits& limits) { limits.max_shared_bytes = 1234; };
  CHECK(works(shim, options).max_shared_bytes == 1234);
}

TEST_CASE("vulkan_variance: validation that is not installed is unsupported") {
  ValidationLog log;
  VulkanShim shim;
  shim.hidden_layers = {"VK_LAYER_KHRONOS_validation"};
  DeviceOptions options = through(shim, log);
  options.validation = true;
  const auto device = Device::open(options);
  REQUIRE(device.code() == Code::unsupported);
  CHECK(device.error().message.find("VK_LAYER_KHRONOS_validation") != std::string::npos);
}
