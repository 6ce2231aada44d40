// When the memory of a destroyed buffer is given back.
#include <doctest/doctest.h>

#include <optional>

#include "engine/device/null/null_device.hpp"
#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

uint64_t submit_fill(Device& device, const Buffer& buffer) {
  Encoder encoder = device.encoder();
  REQUIRE(encoder.fill(buffer.slice(), 1).ok());
  return device.submit(std::move(encoder)).value();
}

TEST_CASE("retirement: a buffer that no submission can reach is freed at once") {
  FakeState state;
  Device device = fake_device(state);
  {
    const Buffer buffer = make_buffer(device, 64);
    CHECK(device.memory().buffer_bytes == 64);
    CHECK(device.memory().buffer_count == 1);
  }
  CHECK(state.live_buffers == 0);
  CHECK(device.memory().buffer_bytes == 0);
  CHECK(device.memory().buffer_count == 0);
}

TEST_CASE("retirement: a destroyed buffer lives until the last submission before its destruction is complete") {
  FakeState state;
  Device device = fake_device(state);
  std::optional<Buffer> buffer = make_buffer(device, 64);
  const Buffer kept = make_buffer(device, 32);
  CHECK(submit_fill(device, *buffer) == 1);
  CHECK(submit_fill(device, kept) == 2);
  buffer.reset();
  CHECK(submit_fill(device, kept) == 3);
  CHECK(state.live_buffers == 2);
  CHECK(device.memory().buffer_bytes == 96);

  state.completed = 1;
  CHECK(device.completed().value() == 1);
  CHECK(state.live_buffers == 2);
  state.completed = 2;
  CHECK(device.completed().value() == 2);
  CHECK(state.live_buffers == 1);
  CHECK(device.memory().buffer_bytes == 32);
}

TEST_CASE("retirement: waiting for a submission frees what waited for it") {
  FakeState state;
  Device device = fake_device(state);
  std::optional<Buffer> buffer = make_buffer(device, 64);
  const uint64_t value = submit_fill(device, *buffer);
  buffer.reset();
  CHECK(state.live_buffers == 1);
  CHECK(device.wait(value, std::chrono::seconds(1)).ok());
  CHECK(state.live_buffers == 0);
}

TEST_CASE("retirement: a buffer destroyed while an encoder is open outlives that encoder's submission") {
  FakeState state;
  Device device = fake_device(state);
  std::optional<Buffer> buffer = make_buffer(device, 64);
  Encoder encoder = device.encoder();
  REQUIRE(encoder.fill(buffer->slice(), 1).ok());
  buffer.reset();
  CHECK(state.live_buffers == 1);
  CHECK(device.submit(std::move(encoder)).value() == 1);
  CHECK(device.completed().value() == 0);
  CHECK(state.live_buffers == 1);
  state.completed = 1;
  CHECK(device.completed().value() == 1);
  CHECK(state.live_buffers == 0);
}

TEST_CASE("retirement: an encoder that is dropped lets go of the buffers destroyed while it was open") {
  FakeState state;
  Device device = fake_device(state);
  std::optional<Buffer> buffer = make_buffer(device, 64);
  {
    Encoder encoder = device.encoder();
    REQUIRE(encoder.fill(buffer->slice(), 1).ok());
    buffer.reset();
    CHECK(state.live_buffers == 1);
  }
  CHECK(state.live_buffers == 0);
}

TEST_CASE("retirement: assigning to a buffer retires what it held") {
  FakeState state;
  Device device = fake_device(state);
  Buffer buffer = make_buffer(device, 64);
  const uint64_t value = submit_fill(device, buffer);
  buffer = make_buffer(device, 32);
  CHECK(state.live_bytes == 96);
  REQUIRE(device.wait(value, std::chrono::seconds(1)).ok());
  CHECK(state.live_bytes == 32);
  CHECK(buffer.size_bytes() == 32);
}

TEST_CASE("retirement: buffers and encoders may outlive their Device") {
  FakeState state;
  {
    std::optional<Device> device = fake_device(state);
    const Buffer buffer = make_buffer(*device, 64);
    Encoder encoder = device->encoder();
    device.reset();
    CHECK(encoder.fill(buffer.slice(), 1).ok());
    CHECK(state.live_buffers == 1);
  }
  CHECK(state.live_buffers == 0);
}

TEST_CASE("retirement: destroying a Device waits for what is in flight") {
  FakeState state;
  {
    Device device = fake_device(state);
    const Buffer buffer = make_buffer(device, 64);
    submit_fill(device, buffer);
    CHECK(state.completed == 0);
  }
  CHECK(state.completed == 1);
  CHECK(state.live_buffers == 0);
}

TEST_CASE("retirement: retired buffers count against the number of buffers, and make room as soon as they can") {
  FakeState state;
  state.info.limits.max_buffer_count = 2;
  Device device = fake_device(state);
  std::optional<Buffer> first = make_buffer(device, 64);
  const Buffer second = make_buffer(device, 64);
  submit_fill(device, *first);
  first.reset();
  CHECK(device.create_buffer(64, BufferUse::device, "third").code() == Code::out_of_device_memory);
  CHECK(device.memory().buffer_count == 2);
  state.completed = 1;
  CHECK(device.create_buffer(64, BufferUse::device, "third").ok());
}

TEST_CASE("retirement: memory that the device has finished with is given back before out_of_device_memory is answered") {
  FakeState state;
  state.memory_bytes = 100;
  Device device = fake_device(state);
  std::optional<Buffer> first = make_buffer(device, 64);
  submit_fill(device, *first);
  first.reset();
  CHECK(device.create_buffer(64, BufferUse::device, "second").code() == Code::out_of_device_memory);
  state.completed = 1;
  CHECK(device.create_buffer(64, BufferUse::device, "second").ok());
}

TEST_CASE("null device: submissions complete when its options say so") {
  NullOptions null_options;
  null_options.completion = NullOptions::Completion::after_polls;
  null_options.polls = 3;
  auto backend = make_null_device(null_options);
  REQUIRE(backend->submit({}, 1).ok());
  REQUIRE(backend->submit({}, 2).ok());
  for (uint64_t expected : {0u, 0u, 1u, 1u, 1u, 2u, 2u, 2u, 2u}) CHECK(backend->completed().value() == expected);

  null_options.completion = NullOptions::Completion::on_wait;
  Device device = Device::from_backend(make_null_device(null_options), {}).value();
  std::optional<Buffer> buffer = make_buffer(device, 64);
  const uint64_t value = submit_fill(device, *buffer);
  buffer.reset();
  CHECK(device.completed().value() == 0);
  CHECK(device.memory().buffer_bytes == 64);
  CHECK(device.wait(value, {}).ok());
  CHECK(device.memory().buffer_bytes == 0);
}

}  // namespace
}  // namespace quire
