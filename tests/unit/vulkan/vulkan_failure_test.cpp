// Every call of a VkDevice that can fail is made to fail, once or for ever: a code, no leak, and the next attempt is right.
#include <map>

#include "tests/support/vulkan_fixture.hpp"
#include "tests/support/vulkan_shim.hpp"
#include "tests/unit/vulkan/small_step.hpp"

using namespace quire;
using namespace quire::test;

namespace {

/// Opens a device and runs the step twice, so that recycled command buffers are met too.
Result<std::vector<float>> open_and_step(DeviceOptions options, VulkanShim& shim) {
  options.get_instance_proc_addr = shim.entry();
  options.timestamps = true;
  QUIRE_ASSIGN(Device device, Device::open(options));
  QUIRE_TRY(small_step(device));
  QUIRE_TRY(device.take_timings());
  return small_step(device);
}

Code expected_code(VkResult result) {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return Code::out_of_host_memory;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return Code::out_of_device_memory;
    case VK_ERROR_DEVICE_LOST: return Code::device_lost;
    case VK_ERROR_INITIALIZATION_FAILED: return Code::unsupported;
    default: return Code::internal;
  }
}

/// More calls than a run makes: the loops end at the first call number that is not reached.
constexpr uint64_t kMoreCalls = 1000;
constexpr uint64_t kFewestCalls = 60;

}  // namespace

TEST_CASE("vulkan_failure: without failures nothing is left alive") {
  ValidationLog log;
  VulkanShim shim;
  const auto result = open_and_step(log.options(), shim);
  REQUIRE(result.ok());
  CHECK(*result == small_step_expected());
  INFO("alive: " << shim.describe_live_objects());
  CHECK(shim.live_objects().empty());
  CHECK(shim.calls("vkCreateBuffer") >= 10);
  CHECK(shim.calls("vkDeviceWaitIdle") + shim.calls("vkQueueWaitIdle") == 0);
}

TEST_CASE("vulkan_failure: the shim sees what stays alive") {
  ValidationLog log;
  VulkanShim shim;
  DeviceOptions options = log.options();
  options.get_instance_proc_addr = shim.entry();
  Result<Device> device = Device::open(options);
  REQUIRE(device.ok());
  Result<Buffer> buffer = device->create_buffer(64, BufferUse::device, "alive");
  REQUIRE(buffer.ok());
  CHECK(shim.live_objects()["Buffer"] == 1);
  CHECK(shim.live_objects()["Memory"] == 1);
  CHECK(shim.live_objects()["Device"] == 1);
  CHECK(shim.live_objects()["Instance"] == 1);
}

TEST_CASE("vulkan_failure: each device call failing once is a code, leaks nothing, and the next attempt is right") {
  std::map<std::string, uint64_t> failed;
  uint64_t survived = 0;
  uint64_t call = 1;
  for (; call < kMoreCalls; ++call) {
    CAPTURE(call);
    ValidationLog log;
    VulkanShim shim;
    shim.fail({"", call, call % 2 == 0 ? VK_ERROR_OUT_OF_DEVICE_MEMORY : VK_ERROR_OUT_OF_HOST_MEMORY, false});
    const auto result = open_and_step(log.options(), shim);
    CAPTURE(shim.failed_call());
    if (shim.failed_call().empty()) {
      CHECK(result.ok());
      break;
    }
    ++failed[shim.failed_call()];
    if (result.ok()) {
      ++survived;  // retried, or a call of destruction
      CHECK(*result == small_step_expected());
    } else {
      CHECK(result.code() == expected_code(call % 2 == 0 ? VK_ERROR_OUT_OF_DEVICE_MEMORY : VK_ERROR_OUT_OF_HOST_MEMORY));
      CHECK(result.error().message.find(shim.failed_call()) != std::string::npos);
    }
    INFO("alive: " << shim.describe_live_objects());
    CHECK(shim.live_objects().empty());
    const auto again = open_and_step(log.options(), shim);
    REQUIRE(again.ok());
    CHECK(*again == small_step_expected());
    CHECK(shim.live_objects().empty());
  }
  for (const auto& [name, count] : failed) MESSAGE(name << " failed " << count << " times");
  MESSAGE("calls " << call - 1 << ", results right all the same " << survived);
  CHECK(call > kFewestCalls);
  for (const char* name : {"vkCreateDevice", "vkCreateBuffer", "vkAllocateMemory", "vkBindBufferMemory", "vkMapMemory", "vkCreateShaderModule",
                           "vkCreatePipelineLayout", "vkCreateComputePipelines", "vkCreatePipelineCache", "vkCreateCommandPool",
                           "vkAllocateCommandBuffers", "vkBeginCommandBuffer", "vkEndCommandBuffer", "vkQueueSubmit", "vkCreateSemaphore",
                           "vkWaitSemaphores", "vkGetSemaphoreCounterValue", "vkCreateQueryPool", "vkGetQueryPoolResults"})
    CHECK_MESSAGE(failed[name] > 0, name);
  CHECK(survived < call / 4);
}

TEST_CASE("vulkan_failure: after a failed call the same device goes on") {
  ValidationLog log;
  VulkanShim shim;
  DeviceOptions options = log.options();
  options.get_instance_proc_addr = shim.entry();
  Result<Device> device = Device::open(options);
  REQUIRE(device.ok());
  REQUIRE(small_step(*device).ok());
  const uint64_t before = shim.fallible_calls();
  REQUIRE(small_step(*device).ok());
  const uint64_t calls = shim.fallible_calls() - before;
  for (uint64_t call = 1; call <= calls; ++call) {
    CAPTURE(call);
    shim.fail({"", call, VK_ERROR_OUT_OF_HOST_MEMORY, false});
    const auto result = small_step(*device);
    CAPTURE(shim.failed_call());
    if (!result.ok()) CHECK(result.code() == Code::out_of_host_memory);
    shim.stop_failing();
    const auto again = small_step(*device);
    REQUIRE_MESSAGE(again.ok(), (again.ok() ? std::string() : again.error().message));
    CHECK(*again == small_step_expected());
  }
}

TEST_CASE("vulkan_failure: a device lost at any call is device_lost, is destroyed without hanging and leaks nothing") {
  uint64_t call = 1;
  for (; call < kMoreCalls; ++call) {
    CAPTURE(call);
    ValidationLog log;
    VulkanShim shim;
    shim.lose_device_at(call);
    const auto start = std::chrono::steady_clock::now();
    const auto result = open_and_step(log.options(), shim);
    CAPTURE(shim.failed_call());
    if (shim.failed_call().empty()) {
      CHECK(result.ok());
      break;
    }
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
    // The last calls belong to destruction, when the result is already there.
    if (!result.ok()) CHECK(result.code() == Code::device_lost);
    INFO("alive: " << shim.describe_live_objects());
    CHECK(shim.live_objects().empty());
  }
  CHECK(call > kFewestCalls);
}

TEST_CASE("vulkan_failure: a lost device stays lost, and its buffers can be destroyed") {
  ValidationLog log;
  VulkanShim shim;
  {
    DeviceOptions options = log.options();
    options.get_instance_proc_addr = shim.entry();
    Result<Device> device = Device::open(options);
    REQUIRE(device.ok());
    Result<Buffer> buffer = device->create_buffer(64, BufferUse::device, "held");
    REQUIRE(buffer.ok());
    shim.lose_device_at(1);
    CHECK(small_step(*device).code() == Code::device_lost);
    shim.stop_failing();
    CHECK(device->lost());
    CHECK(small_step(*device).code() == Code::device_lost);
    CHECK(device->create_buffer(64, BufferUse::device, "late").code() == Code::device_lost);
    CHECK(device->completed().code() == Code::device_lost);
  }
  CHECK(shim.live_objects().empty());
}

TEST_CASE("vulkan_failure: each call of the instance failing once is a code and leaks nothing") {
  for (const char* name : {"vkCreateInstance", "vkEnumerateInstanceVersion", "vkEnumerateInstanceExtensionProperties", "vkEnumeratePhysicalDevices",
                           "vkEnumerateDeviceExtensionProperties", "vkEnumerateInstanceLayerProperties", "vkCreateDebugUtilsMessengerEXT"}) {
    CAPTURE(name);
    ValidationLog log;
    VulkanShim shim;
    shim.fail({name, 1, VK_ERROR_OUT_OF_HOST_MEMORY, false});
    const auto result = open_and_step(log.options(), shim);
    if (shim.failed_call().empty()) {
      CHECK_FALSE(validation_wanted());  // the layers' own calls are made only then
      continue;
    }
    CHECK(result.code() == Code::out_of_host_memory);
    CHECK(shim.live_objects().empty());
    CHECK(open_and_step(log.options(), shim).ok());
    CHECK(shim.live_objects().empty());
  }
}

TEST_CASE("vulkan_failure: results are named and mapped to codes") {
  for (const VkResult result : {VK_ERROR_OUT_OF_HOST_MEMORY, VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_DEVICE_LOST, VK_ERROR_INITIALIZATION_FAILED,
                                VK_ERROR_UNKNOWN}) {
    ValidationLog log;
    VulkanShim shim;
    shim.fail({"vkCreateDevice", 1, result, false});
    const auto outcome = open_and_step(log.options(), shim);
    CHECK(outcome.code() == expected_code(result));
    CHECK(shim.live_objects().empty());
  }
}
