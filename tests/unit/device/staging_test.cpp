// The staging memory of Encoder::upload: right bytes, reused when complete, given back when there is too much.
#include <doctest/doctest.h>

#include <cstring>
#include <numeric>

#include "engine/device/staging_pool.hpp"
#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

std::vector<std::byte> pattern(size_t size, uint32_t start) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((start + i * 7) >> (i % 3));
  return bytes;
}

void run_copies(std::span<const Command> commands) {
  for (const Command& command : commands)
    std::memcpy(command.destination.buffer->mapped + command.destination.offset_bytes, command.source.buffer->mapped + command.source.offset_bytes,
                command.source.size_bytes);
}

uint64_t upload_and_submit(Device& device, const Buffer& buffer) {
  Encoder encoder = device.encoder();
  REQUIRE(encoder.upload(buffer.slice(), pattern(buffer.size_bytes(), 0)).ok());
  return device.submit(std::move(encoder)).value();
}

TEST_CASE("staging: uploads of many sizes arrive, also across blocks") {
  FakeState state;
  state.info.limits.max_buffer_bytes = 1000;  // blocks of 992 bytes
  Device device = fake_device(state);
  const Buffer buffer = make_buffer(device, 1000);
  Encoder encoder = device.encoder();
  size_t recorded = 0;
  for (uint64_t size : {4u, 12u, 16u, 100u, 988u, 992u, 996u, 1000u}) {
    CAPTURE(size);
    const auto bytes = pattern(size, static_cast<uint32_t>(size));
    REQUIRE(encoder.upload(buffer.slice(1000 - size, size), bytes).ok());
    run_copies(encoder.commands().subspan(recorded));
    recorded = encoder.commands().size();
    CHECK(std::memcmp(buffer.mapped().data() + 1000 - size, bytes.data(), size) == 0);
  }
}

TEST_CASE("staging: the bytes are taken at the call and kept until the submission is complete") {
  FakeState state;
  Device device = fake_device(state);
  const Buffer buffer = make_buffer(device, 64);
  Encoder encoder = device.encoder();
  auto bytes = pattern(64, 1);
  const auto expected = bytes;
  REQUIRE(encoder.upload(buffer.slice(), bytes).ok());
  bytes.assign(64, std::byte{0});
  REQUIRE(device.submit(std::move(encoder)).ok());
  upload_and_submit(device, buffer);  // must not write over the first one's block
  run_copies(state.submissions[0].commands);
  CHECK(std::memcmp(buffer.mapped().data(), expected.data(), 64) == 0);
}

TEST_CASE("staging: a block is reused when its submission is complete, and not before") {
  FakeState state;
  Device device = fake_device(state);
  const Buffer buffer = make_buffer(device, 64);
  upload_and_submit(device, buffer);
  CHECK(state.live_buffers == 2);
  upload_and_submit(device, buffer);
  CHECK(state.live_buffers == 3);
  state.completed = 1;
  upload_and_submit(device, buffer);
  CHECK(state.live_buffers == 3);
  CHECK(device.memory().buffer_bytes == 64);
  CHECK(device.memory().buffer_count == 1);
  CHECK(device.memory().staging_bytes == 2 * kStagingBlockBytes);
}

TEST_CASE("staging: the block of an encoder that was dropped is free at once") {
  FakeState state;
  Device device = fake_device(state);
  const Buffer buffer = make_buffer(device, 64);
  for (int i = 0; i < 3; ++i) {
    Encoder encoder = device.encoder();
    REQUIRE(encoder.upload(buffer.slice(), pattern(64, 0)).ok());
  }
  CHECK(state.live_buffers == 2);
}

TEST_CASE("staging: free blocks beyond a few are given back to the device") {
  FakeState state;
  Device device = fake_device(state);
  const Buffer buffer = make_buffer(device, 64);
  uint64_t last = 0;
  for (int i = 0; i < 20; ++i) last = upload_and_submit(device, buffer);
  CHECK(device.memory().staging_bytes == 20 * kStagingBlockBytes);
  REQUIRE(device.wait(last, std::chrono::seconds(1)).ok());
  CHECK(device.memory().staging_bytes <= 4 * kStagingBlockBytes);
  CHECK(device.memory().staging_bytes > 0);
  CHECK(state.live_bytes == 64 + device.memory().staging_bytes);
}

TEST_CASE("staging: an upload for which there is not enough memory records nothing and keeps nothing") {
  FakeState state;
  state.info.limits.max_buffer_bytes = 1024;
  state.memory_bytes = 3 * 1024;
  Device device = fake_device(state);
  std::vector<Buffer> buffers;
  buffers.push_back(make_buffer(device, 1024));
  const Buffer& destination = buffers.front();
  Encoder encoder = device.encoder();
  REQUIRE(encoder.upload(destination.slice(0, 512), pattern(512, 0)).ok());
  buffers.push_back(make_buffer(device, 1024));
  // 512 bytes are left in the block, and no second block fits.
  CHECK(encoder.upload(buffers.front().slice(0, 516), pattern(516, 0)).code() == Code::out_of_device_memory);
  CHECK(encoder.commands().size() == 1);
  CHECK(device.memory().staging_bytes == 1024);
  buffers.pop_back();
  CHECK(encoder.upload(buffers.front().slice(0, 512), pattern(512, 0)).ok());
  CHECK(encoder.commands().size() == 2);
}

TEST_CASE("staging: an upload that gets only some of its blocks gives them back") {
  FakeState state;
  state.info.limits.max_buffer_bytes = 1000;  // blocks of 992 bytes
  state.memory_bytes = 1000 + 992 + 500;
  Device device = fake_device(state);
  const Buffer buffer = make_buffer(device, 1000);
  Encoder encoder = device.encoder();
  CHECK(encoder.upload(buffer.slice(), pattern(1000, 0)).code() == Code::out_of_device_memory);
  CHECK(encoder.commands().empty());
  // Its memory is there for others although the encoder lives on.
  CHECK(device.create_buffer(900, BufferUse::device, "other").ok());
}

TEST_CASE("staging: free blocks are given back when the device runs out of memory") {
  FakeState state;
  Device device = fake_device(state);
  const Buffer buffer = make_buffer(device, 64);
  REQUIRE(device.wait(upload_and_submit(device, buffer), {}).ok());
  CHECK(device.memory().staging_bytes == kStagingBlockBytes);
  state.memory_bytes = kStagingBlockBytes;
  CHECK(device.create_buffer(128, BufferUse::device, "new").ok());
  CHECK(device.memory().staging_bytes == 0);
}

}  // namespace
}  // namespace quire
