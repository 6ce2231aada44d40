#include <doctest/doctest.h>

#include <algorithm>

#include "engine/device/vulkan/vulkan_choice.hpp"
#include "engine/device/vulkan/vulkan_memory.hpp"

using namespace quire;

namespace {

DeviceInfo device(const char* name, DeviceType type, uint8_t uuid_byte, bool usable = true) {
  DeviceInfo info;
  info.name = name;
  info.type = type;
  info.uuid.fill(uuid_byte);
  info.usable = usable;
  if (!usable) info.refusal = "it lacks bufferDeviceAddress";
  return info;
}

std::vector<DeviceInfo> machine() {
  return {device("Radeon RX 580", DeviceType::discrete, 0x11), device("GeForce RTX 3060", DeviceType::discrete, 0x22, false),
          device("Intel Graphics", DeviceType::integrated, 0xab), device("llvmpipe (LLVM 15)", DeviceType::cpu, 0x33)};
}

size_t chosen(const std::vector<DeviceInfo>& devices, const char* select) {
  const Result<size_t> result = choose_device(devices, select);
  REQUIRE(result.ok());
  return *result;
}

VkPhysicalDeviceMemoryProperties memory_of(std::initializer_list<VkMemoryPropertyFlags> types) {
  VkPhysicalDeviceMemoryProperties memory{};
  for (VkMemoryPropertyFlags flags : types) memory.memoryTypes[memory.memoryTypeCount++].propertyFlags = flags;
  return memory;
}

}  // namespace

TEST_CASE("vulkan_choice: discrete comes before integrated, virtual, CPU and other") {
  const DeviceType order[] = {DeviceType::discrete, DeviceType::integrated, DeviceType::virtual_gpu, DeviceType::cpu, DeviceType::other};
  for (size_t i = 1; i < std::size(order); ++i) CHECK(device_rank(device("a", order[i - 1], 0)) < device_rank(device("b", order[i], 0)));
}

TEST_CASE("vulkan_choice: a usable device comes before an unusable one of its type only") {
  CHECK(device_rank(device("a", DeviceType::discrete, 0)) < device_rank(device("b", DeviceType::discrete, 0, false)));
  CHECK(device_rank(device("a", DeviceType::discrete, 0, false)) < device_rank(device("b", DeviceType::integrated, 0)));
}

TEST_CASE("vulkan_choice: nothing asked for takes the best usable device") {
  CHECK(chosen(machine(), "") == 0);
  std::vector<DeviceInfo> devices = machine();
  devices[0].usable = false;
  CHECK(chosen(devices, "") == 2);
}

TEST_CASE("vulkan_choice: an index, a part of a name in any case, and a UUID find their device") {
  CHECK(chosen(machine(), "3") == 3);
  CHECK(chosen(machine(), "LLVMPIPE") == 3);
  CHECK(chosen(machine(), "intel") == 2);
  CHECK(chosen(machine(), "abababababababababababababababab") == 2);
  CHECK(chosen(machine(), "ABABABAB-abab-abab-abab-abababababab") == 2);
}

TEST_CASE("vulkan_choice: a number beyond the list is a part of a name") { CHECK(chosen(machine(), "580") == 0); }

TEST_CASE("vulkan_choice: a part of several names takes the best usable one") {
  std::vector<DeviceInfo> devices = machine();
  CHECK(chosen(devices, "r") == 0);
  devices[0].usable = false;
  devices[0].refusal = "it has no compute queue";
  CHECK(chosen(devices, "g") == 2);
}

TEST_CASE("vulkan_choice: what matches nothing is not_found, and names itself") {
  for (const char* select : {"nvidia", "17", "ababababababababababababababab00", "-1"}) {
    const Result<size_t> result = choose_device(machine(), select);
    CHECK(result.code() == Code::not_found);
    CHECK(result.error().message.find(select) != std::string::npos);
  }
  CHECK(choose_device({}, "").code() == Code::not_found);
}

TEST_CASE("vulkan_choice: naming an unusable device is unsupported, with the reason") {
  for (const char* select : {"1", "3060", "22222222222222222222222222222222"}) {
    const Result<size_t> result = choose_device(machine(), select);
    CHECK(result.code() == Code::unsupported);
    CHECK(result.error().message.find("bufferDeviceAddress") != std::string::npos);
  }
}

TEST_CASE("vulkan_memory: each use takes the memory type that suits it") {
  constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  constexpr VkMemoryPropertyFlags kMapped = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  // As a discrete GPU lists them: a small visible window of its memory comes first.
  const auto discrete = memory_of({kLocal | kMapped, kLocal, kMapped, kMapped | kCached});
  CHECK(choose_memory_type(discrete, ~0u, BufferUse::device, false) == 1u);
  CHECK(choose_memory_type(discrete, ~0u, BufferUse::upload, false) == 2u);
  CHECK(choose_memory_type(discrete, ~0u, BufferUse::readback, false) == 3u);
  const auto integrated = memory_of({kLocal, kLocal | kMapped, kLocal | kMapped | kCached});
  CHECK(choose_memory_type(integrated, ~0u, BufferUse::device, true) == 2u);
  CHECK(choose_memory_type(integrated, ~0u, BufferUse::upload, true) == 1u);
  CHECK(choose_memory_type(integrated, ~0u, BufferUse::readback, true) == 2u);
}

TEST_CASE("vulkan_memory: types that are not allowed, incoherent or of an unknown kind are never taken") {
  constexpr VkMemoryPropertyFlags kMapped = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  const auto memory = memory_of({VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT, kMapped | VK_MEMORY_PROPERTY_PROTECTED_BIT, kMapped, kMapped});
  CHECK(choose_memory_type(memory, ~0u, BufferUse::upload, false) == 2u);
  CHECK(choose_memory_type(memory, 8u, BufferUse::upload, false) == 3u);
  CHECK_FALSE(choose_memory_type(memory, 3u, BufferUse::upload, false).has_value());
  CHECK_FALSE(choose_memory_type(memory, ~0u, BufferUse::device, false).has_value());
}
