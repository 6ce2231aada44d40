#include <algorithm>

#include "tests/support/vulkan_fixture.hpp"
#include "tests/unit/vulkan/small_step.hpp"

using namespace quire;
using namespace quire::test;

namespace {

template <class T>
T taken(Result<T> result) {
  REQUIRE_MESSAGE(result.ok(), (result.ok() ? std::string() : result.error().message));
  return std::move(result).value();
}

void done(const Status& status) { REQUIRE_MESSAGE(status.ok(), status.error().message); }

uint32_t word_at(const Buffer& buffer, uint64_t index) {
  uint32_t word = 0;
  std::memcpy(&word, buffer.mapped().data() + index * sizeof word, sizeof word);
  return word;
}

/// Copies that keep the device busy for at least tens of milliseconds.
Encoder long_work(Device& device, const Buffer& buffer) {
  Encoder encoder = device.encoder();
  const uint64_t half = buffer.size_bytes() / 2;
  for (int i = 0; i < 40; ++i) done(encoder.copy(buffer.slice(i % 2 == 0 ? 0 : half, half), buffer.slice(i % 2 == 0 ? half : 0, half)));
  return encoder;
}
constexpr uint64_t kLongWorkBytes = uint64_t{32} << 20;

}  // namespace

TEST_CASE("vulkan_device: a device opens, says what it is, and is the one in the list") {
  VulkanFixture fixture;
  const DeviceInfo& info = fixture.device().info();
  CHECK(info.usable);
  CHECK(info.backend == BackendKind::vulkan);
  CHECK_FALSE(info.name.empty());
  CHECK_FALSE(info.driver.empty());
  CHECK(info.limits.max_workgroup_invocations >= 128);
  CHECK(info.limits.max_shared_bytes >= 16384);
  CHECK(info.limits.max_push_constant_bytes >= 128);
  CHECK(info.limits.max_buffer_bytes >= uint64_t{1} << 27);
  CHECK(info.limits.max_device_bytes > 0);
  CHECK(info.limits.subgroup_size >= 1);
  const auto list = taken(Device::list(fixture.log().options()));
  CHECK(std::any_of(list.begin(), list.end(), [&](const DeviceInfo& other) { return other.uuid == info.uuid && other.name == info.name; }));
}

TEST_CASE("vulkan_device: a device is chosen by index, part of its name and UUID") {
  ValidationLog log;
  const auto list = taken(Device::list(log.options()));
  REQUIRE_FALSE(list.empty());
  std::string uuid;
  for (uint8_t byte : list[0].uuid) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    uuid += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  for (const std::string& select : {std::string("0"), list[0].name.substr(0, 4), uuid}) {
    DeviceOptions options = log.options();
    options.select = select;
    CHECK(taken(Device::open(options)).info().uuid == list[0].uuid);
  }
  DeviceOptions options = log.options();
  options.select = "no such device";
  CHECK(Device::open(options).code() == Code::not_found);
}

TEST_CASE("vulkan_device: buffers are mapped where their use needs it, and have addresses") {
  VulkanFixture fixture;
  Device& device = fixture.device();
  for (const BufferUse use : {BufferUse::device, BufferUse::upload, BufferUse::readback}) {
    for (const uint64_t bytes : {uint64_t{1}, uint64_t{4}, uint64_t{1000}, uint64_t{1} << 20}) {
      const Buffer buffer = taken(device.create_buffer(bytes, use, "a buffer"));
      CHECK(buffer.size_bytes() == bytes);
      CHECK(buffer.address() != 0);
      CHECK(buffer.address() % 16 == 0);
      const bool mapped = use != BufferUse::device || device.limits().host_visible_device_memory;
      CHECK(buffer.mapped().size() == (mapped ? bytes : 0));
      for (std::byte& byte : buffer.mapped()) byte = std::byte{0x5a};
    }
  }
}

TEST_CASE("vulkan_device: copies, fills, uploads and a dispatch give what the host predicts") {
  VulkanFixture fixture;
  CHECK(taken(small_step(fixture.device())) == small_step_expected());
}

TEST_CASE("vulkan_device: copies and fills change their slice and nothing else") {
  VulkanFixture fixture;
  Device& device = fixture.device();
  const Buffer buffer = taken(device.create_buffer(64 * 4, BufferUse::device, "slices"));
  const Buffer readback = taken(device.create_buffer(64 * 4, BufferUse::readback, "slices back"));
  Encoder encoder = device.encoder();
  done(encoder.fill(buffer.slice(), 1));
  done(encoder.fill(buffer.slice(4 * 5, 4 * 3), 2));
  done(encoder.copy(buffer.slice(4 * 4, 4 * 5), buffer.slice(4 * 40, 4 * 5)));
  done(encoder.copy(buffer.slice(), readback.slice()));
  done(device.wait(taken(device.submit(std::move(encoder))), kPatience));
  for (uint64_t i = 0; i < 64; ++i) CHECK(word_at(readback, i) == ((i >= 5 && i < 8) || (i >= 41 && i < 44) ? 2u : 1u));
}

TEST_CASE("vulkan_device: a submit sees all effects of earlier submits") {
  VulkanFixture fixture;
  Device& device = fixture.device();
  const Buffer a = taken(device.create_buffer(kLongWorkBytes, BufferUse::device, "first"));
  const Buffer readback = taken(device.create_buffer(4, BufferUse::readback, "last word"));
  uint64_t value = 0;
  for (uint32_t i = 1; i <= 20; ++i) {
    Encoder encoder = device.encoder();
    done(encoder.fill(a.slice(), i));
    value = taken(device.submit(std::move(encoder)));
  }
  Encoder encoder = device.encoder();
  done(encoder.copy(a.slice(kLongWorkBytes - 4, 4), readback.slice()));
  value = taken(device.submit(std::move(encoder)));
  done(device.wait(value, kPatience));
  CHECK(word_at(readback, 0) == 20);
}

TEST_CASE("vulkan_device: a wait for unfinished work times out, can be repeated, and then succeeds") {
  VulkanFixture fixture;
  Device& device = fixture.device();
  const Buffer buffer = taken(device.create_buffer(kLongWorkBytes, BufferUse::device, "busy"));
  const uint64_t value = taken(device.submit(long_work(device, buffer)));
  CHECK(device.wait(value, std::chrono::nanoseconds(0)).code() == Code::timeout);
  CHECK(device.wait(value, std::chrono::nanoseconds(1000)).code() == Code::timeout);
  CHECK(taken(device.completed()) < value);
  CHECK_FALSE(device.lost());
  done(device.wait(value, kPatience));
  CHECK(taken(device.completed()) >= value);
  done(device.wait(value, std::chrono::nanoseconds(0)));
}

TEST_CASE("vulkan_device: a buffer destroyed while the device uses it lives until the work is done") {
  VulkanFixture fixture;
  Device& device = fixture.device();
  const Buffer readback = taken(device.create_buffer(4, BufferUse::readback, "survivor"));
  uint64_t value = 0;
  {
    const Buffer doomed = taken(device.create_buffer(kLongWorkBytes, BufferUse::device, "doomed"));
    Encoder fill = device.encoder();
    done(fill.fill(doomed.slice(), 0xabcd));
    static_cast<void>(taken(device.submit(std::move(fill))));
    static_cast<void>(taken(device.submit(long_work(device, doomed))));
    Encoder encoder = device.encoder();
    done(encoder.copy(doomed.slice(4, 4), readback.slice()));
    value = taken(device.submit(std::move(encoder)));
  }
  CHECK(device.memory().buffer_bytes >= kLongWorkBytes);
  done(device.wait(value, kPatience));
  CHECK(word_at(readback, 0) == 0xabcd);
  const Buffer after = taken(device.create_buffer(4, BufferUse::device, "after"));
  CHECK(device.memory().buffer_bytes < kLongWorkBytes);
}

TEST_CASE("vulkan_device: timestamps name the dispatch and are within the wall time") {
  VulkanFixture fixture([](DeviceOptions& options) { options.timestamps = true; });
  Device& device = fixture.device();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) CHECK(taken(small_step(device)) == small_step_expected());
  const auto wall = std::chrono::steady_clock::now() - start;
  const auto timings = taken(device.take_timings());
  REQUIRE(timings.size() == 3);
  uint64_t sum_ns = 0;
  for (const KernelTiming& timing : timings) {
    CHECK(timing.kernel == gather_kernel());
    sum_ns += timing.gpu_ns;
  }
  CHECK(sum_ns > 0);
  CHECK(sum_ns <= static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(wall).count()));
  CHECK(taken(device.take_timings()).empty());
}

TEST_CASE("vulkan_device: without the option there are no timings") {
  VulkanFixture fixture;
  static_cast<void>(taken(small_step(fixture.device())));
  CHECK(taken(fixture.device().take_timings()).empty());
}

TEST_CASE("vulkan_device: the driver's account of memory is passed on where it is given") {
  VulkanFixture fixture;
  Device& device = fixture.device();
  const Buffer buffer = taken(device.create_buffer(uint64_t{8} << 20, BufferUse::device, "counted"));
  const DeviceMemory memory = device.memory();
  CHECK(memory.buffer_count == 1);
  CHECK(memory.buffer_bytes == uint64_t{8} << 20);
  CHECK((memory.heap_budget_bytes > 0) == device.limits().memory_budget);
}

TEST_CASE("vulkan_device: a kernel prepared twice is ready, and one without a shader is unsupported") {
  VulkanFixture fixture;
  done(fixture.device().prepare(gather_kernel()));
  done(fixture.device().prepare(gather_kernel()));
  CHECK(fixture.device().prepare({KernelId::gather_columns, WeightType::q4_1, {32, 1, 1}}).code() == Code::unsupported);
}

TEST_CASE("vulkan_device: two devices in one process do not disturb each other") {
  VulkanFixture first;
  VulkanFixture second;
  CHECK(taken(small_step(first.device())) == small_step_expected());
  CHECK(taken(small_step(second.device())) == small_step_expected());
}
