#include <algorithm>

#include "tests/support/vulkan_fixture.hpp"
#include "tests/support/vulkan_shim.hpp"
#include "tests/unit/vulkan/host_device.hpp"
#include "tests/unit/vulkan/small_step.hpp"

using namespace quire;
using namespace quire::test;

namespace {

/// A host with its device, reached through a shim.
struct Host {
  VulkanShim shim;
  HostDevice device;
  explicit Host(bool validation = validation_wanted()) : device(shim.entry(), validation) { shim.queue_locked = &device.locked; }
  ~Host() {
    for (const std::string& message : device.messages) FAIL_CHECK("validation: " << message);
  }

  Result<Device> adopt(const VulkanAdoption& adoption) {
    DeviceOptions options;
    options.adoption = &adoption;
    return Device::open(options);
  }
};

bool any_mentions(const std::vector<std::string>& messages, const char* text) {
  return std::any_of(messages.begin(), messages.end(), [&](const std::string& message) { return message.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("vulkan_adoption: a host's device gives the same results as one of our own, and stays the host's") {
  Host host;
  const auto objects = host.shim.live_objects();
  {
    Result<Device> device = host.adopt(host.device.adoption());
    REQUIRE_MESSAGE(device.ok(), (device.ok() ? std::string() : device.error().message));
    const auto result = small_step(*device);
    REQUIRE(result.ok());
    CHECK(*result == small_step_expected());
  }
  CHECK(host.shim.live_objects() == objects);
  const auto raw = host.device.create_buffer(64);
  host.device.run([&](const DeviceFunctions& vk, VkCommandBuffer commands) { vk.CmdFillBuffer(commands, raw.buffer, 0, 64, 1); });
  host.device.destroy(raw);
}

TEST_CASE("vulkan_adoption: the host's lock is held at every submit and free afterwards") {
  Host host;
  Result<Device> device = host.adopt(host.device.adoption());
  REQUIRE(device.ok());
  const uint64_t submits = host.shim.calls("vkQueueSubmit");
  for (int i = 0; i < 5; ++i) REQUIRE(small_step(*device).ok());
  CHECK(host.shim.calls("vkQueueSubmit") == submits + 5);
  CHECK(host.device.lock_count == 5);
  CHECK(host.shim.unlocked_submits == 0);
  CHECK_FALSE(host.device.locked);
  host.shim.fail({"vkQueueSubmit", 1, VK_ERROR_OUT_OF_HOST_MEMORY, false});
  CHECK(small_step(*device).code() == Code::out_of_host_memory);
  CHECK_FALSE(host.device.locked);
}

TEST_CASE("vulkan_adoption: without its lock callbacks the shim notices unlocked submits") {
  Host host;
  VulkanAdoption adoption = host.device.adoption();
  adoption.lock_queue = nullptr;
  adoption.unlock_queue = nullptr;
  Result<Device> device = host.adopt(adoption);
  REQUIRE(device.ok());
  REQUIRE(small_step(*device).ok());
  CHECK(host.shim.unlocked_submits == 1);
}

TEST_CASE("vulkan_adoption: a device made without a required feature is refused by its name") {
  Host host;
  const auto refused = [&](bool VulkanAdoption::*feature, const char* name) {
    VulkanAdoption adoption = host.device.adoption();
    adoption.*feature = false;
    const Result<Device> device = host.adopt(adoption);
    CHECK(device.code() == Code::unsupported);
    if (!device.ok()) CHECK(device.error().message.find(name) != std::string::npos);
  };
  refused(&VulkanAdoption::timeline_semaphore, "timelineSemaphore");
  refused(&VulkanAdoption::buffer_device_address, "bufferDeviceAddress");
  refused(&VulkanAdoption::storage_16bit, "storageBuffer16BitAccess");
  refused(&VulkanAdoption::storage_8bit, "storageBuffer8BitAccess");
}

TEST_CASE("vulkan_adoption: missing handles, an old instance and a wrong queue family are refused") {
  Host host;
  VulkanAdoption adoption = host.device.adoption();
  adoption.queue = nullptr;
  CHECK(host.adopt(adoption).code() == Code::invalid_argument);
  adoption = host.device.adoption();
  adoption.get_instance_proc_addr = nullptr;
  CHECK(host.adopt(adoption).code() == Code::invalid_argument);
  adoption = host.device.adoption();
  adoption.api_version = VK_API_VERSION_1_1;
  CHECK(host.adopt(adoption).code() == Code::unsupported);
  adoption = host.device.adoption();
  adoption.queue_family = 99;
  const Result<Device> device = host.adopt(adoption);
  CHECK(device.code() == Code::invalid_argument);
  if (!device.ok()) CHECK(device.error().message.find("99") != std::string::npos);
}

TEST_CASE("vulkan_adoption: optional features are those the host enabled, not those the device has") {
  Host host;
  VulkanAdoption adoption = host.device.adoption();
  Result<Device> plain = host.adopt(adoption);
  REQUIRE(plain.ok());
  CHECK_FALSE(plain->limits().float16_arithmetic);
  CHECK_FALSE(plain->limits().integer_dot_product);
  CHECK_FALSE(plain->limits().memory_budget);
  adoption.shader_float16 = true;
  adoption.device_extensions = {VK_EXT_MEMORY_BUDGET_EXTENSION_NAME};
  Result<Device> more = host.adopt(adoption);
  REQUIRE(more.ok());
  CHECK(more->limits().float16_arithmetic);
  CHECK(more->limits().memory_budget);
}

TEST_CASE("vulkan_adoption: a host that loses the device gets device_lost, and destruction returns") {
  Host host;
  const auto objects = host.shim.live_objects();
  {
    Result<Device> device = host.adopt(host.device.adoption());
    REQUIRE(device.ok());
    REQUIRE(small_step(*device).ok());
    host.shim.lose_device_at(1);
    CHECK(small_step(*device).code() == Code::device_lost);
    CHECK(device->lost());
  }
  host.shim.stop_failing();
  CHECK(host.shim.live_objects() == objects);
}

TEST_CASE("vulkan_validation: core checks speak when a copy overlaps itself" * doctest::skip(!validation_wanted())) {
  Host host;
  const auto raw = host.device.create_buffer(64);
  host.device.record_only([&](const DeviceFunctions& vk, VkCommandBuffer commands) {
    const VkBufferCopy region = {0, 16, 32};
    vk.CmdCopyBuffer(commands, raw.buffer, raw.buffer, 1, &region);
  });
  host.device.destroy(raw);
  CHECK(any_mentions(host.device.messages, "VUID-vkCmdCopyBuffer"));
  host.device.messages.clear();
}

TEST_CASE("vulkan_validation: synchronization checks speak when a read follows a write without a barrier" *
          doctest::skip(!validation_wanted())) {
  Host host;
  const auto a = host.device.create_buffer(64);
  const auto b = host.device.create_buffer(64);
  const VkBufferCopy region = {0, 0, 64};
  const auto record = [&](const DeviceFunctions& vk, VkCommandBuffer commands, bool with_barrier) {
    vk.CmdFillBuffer(commands, a.buffer, 0, 64, 1);
    if (with_barrier) {
      VkMemoryBarrier barrier{};
      barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
      barrier.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
      barrier.dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT;
      vk.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
    }
    vk.CmdCopyBuffer(commands, a.buffer, b.buffer, 1, &region);
  };
  host.device.run([&](const DeviceFunctions& vk, VkCommandBuffer commands) { record(vk, commands, true); });
  CHECK(host.device.messages.empty());
  host.device.run([&](const DeviceFunctions& vk, VkCommandBuffer commands) { record(vk, commands, false); });
  CHECK(any_mentions(host.device.messages, "SYNC-HAZARD-READ_AFTER_WRITE") + any_mentions(host.device.messages, "SYNC-HAZARD-READ-AFTER-WRITE") > 0);
  host.device.messages.clear();
  host.device.destroy(a);
  host.device.destroy(b);
}
