// The backends that need no driver, reached through Device::open as a host reaches them.
#include <doctest/doctest.h>

#include <cstring>

#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

DeviceOptions options_for(BackendKind backend) {
  DeviceOptions options;
  options.backend = backend;
  return options;
}

TEST_CASE("device: cuda answers unsupported where it is not built, and nothing else is opened instead") {
  const DeviceOptions options = options_for(BackendKind::cuda);
  CHECK(Device::list(options).code() == Code::unsupported);
  const auto device = Device::open(options);
  REQUIRE_FALSE(device.ok());
  CHECK(device.code() == Code::unsupported);
  CHECK_FALSE(device.error().message.empty());
}

TEST_CASE("device: rejects a backend that does not exist") {
  const DeviceOptions options = options_for(static_cast<BackendKind>(99));
  CHECK(Device::open(options).code() == Code::invalid_argument);
  CHECK(Device::list(options).code() == Code::invalid_argument);
}

TEST_CASE("device: null and reference list the one device that they open") {
  for (BackendKind backend : {BackendKind::null_device, BackendKind::reference}) {
    const DeviceOptions options = options_for(backend);
    const auto list = Device::list(options);
    REQUIRE(list.ok());
    REQUIRE(list->size() == 1);
    CHECK(list->front().usable);
    CHECK(list->front().backend == backend);
    const auto device = Device::open(options);
    REQUIRE(device.ok());
    CHECK(device->info().name == list->front().name);
  }
}

TEST_CASE("device: lowered limits are what the device says and what it holds to") {
  for (BackendKind backend : {BackendKind::null_device, BackendKind::reference}) {
    DeviceOptions options = options_for(backend);
    options.adjust_limits = [](Limits& limits) {
      limits.max_buffer_bytes = 128;
      limits.max_workgroup_invocations = 64;
    };
    CHECK(Device::list(options)->front().limits.max_buffer_bytes == 128);
    Device device = Device::open(options).value();
    CHECK(device.limits().max_buffer_bytes == 128);
    CHECK(device.create_buffer(129, BufferUse::device, "large").code() == Code::invalid_argument);
    const Buffer buffer = make_buffer(device, 128);
    KernelCall call(KernelId::gated_activation);
    call.bind(0, buffer.slice(0, 64)).bind(1, buffer.slice(64, 64));
    call.dispatch.kernel.spec[0] = 65;
    Encoder encoder = device.encoder();
    CHECK(encoder.dispatch(call.dispatch).code() == Code::invalid_argument);
  }
}

TEST_CASE("reference: uploads, copies and fills happen at submit, in order") {
  Device device = Device::open(options_for(BackendKind::reference)).value();
  const Buffer buffer = make_buffer(device, 64);
  for (std::byte byte : buffer.mapped()) CHECK(byte == std::byte{0xff});  // NaN until written
  const std::array<uint32_t, 4> words = {1, 2, 3, 4};
  Encoder encoder = device.encoder();
  REQUIRE(encoder.upload(buffer.slice(0, 16), std::as_bytes(std::span(words))).ok());
  REQUIRE(encoder.copy(buffer.slice(0, 16), buffer.slice(16, 16)).ok());
  REQUIRE(encoder.fill(buffer.slice(4, 8), 9).ok());
  REQUIRE(encoder.copy(buffer.slice(0, 16), buffer.slice(32, 16)).ok());
  const uint64_t value = device.submit(std::move(encoder)).value();
  CHECK(device.completed().value() == value);
  std::array<uint32_t, 12> seen{};
  std::memcpy(seen.data(), buffer.mapped().data(), sizeof seen);
  CHECK(seen == std::array<uint32_t, 12>{1, 9, 9, 4, 1, 2, 3, 4, 1, 9, 9, 4});
}

TEST_CASE("reference: upload and readback buffers are mapped, and addresses are host pointers") {
  Device device = Device::open(options_for(BackendKind::reference)).value();
  for (BufferUse use : {BufferUse::device, BufferUse::upload, BufferUse::readback}) {
    const Buffer buffer = device.create_buffer(100, use, "test").value();
    CHECK(buffer.mapped().size() == 100);
    CHECK(buffer.address() == reinterpret_cast<uint64_t>(buffer.mapped().data()));
    CHECK(buffer.address() % 64 == 0);
  }
}

TEST_CASE("null device: device buffers have addresses that never meet, and no memory unless asked") {
  Device device = Device::open(options_for(BackendKind::null_device)).value();
  const Buffer a = make_buffer(device, 1000);
  const Buffer b = make_buffer(device, 1000);
  CHECK(a.mapped().empty());
  CHECK(a.address() != 0);
  CHECK(b.address() >= a.address() + 1000);
  CHECK(device.create_buffer(16, BufferUse::upload, "up")->mapped().size() == 16);
  CHECK(device.create_buffer(16, BufferUse::readback, "back")->mapped().size() == 16);
}

}  // namespace
}  // namespace quire
