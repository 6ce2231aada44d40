// What the barriers are for: commands between two of them may run in any order. This backend runs them backwards, and the bytes must not show it.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

constexpr uint64_t kBufferBytes = 256;
constexpr uint32_t kGraphs = 500;

void run(const Command& command) {
  std::byte* destination = command.destination.buffer->mapped + command.destination.offset_bytes;
  if (command.kind == Command::Kind::copy) {
    std::memcpy(destination, command.source.buffer->mapped + command.source.offset_bytes, command.destination.size_bytes);
  } else {
    for (uint64_t offset = 0; offset < command.destination.size_bytes; offset += 4) std::memcpy(destination + offset, &command.fill_word, 4);
  }
}

void run_backwards_between_barriers(std::span<const Command> commands) {
  for (size_t begin = 0; begin < commands.size();) {
    size_t end = begin + 1;
    while (end < commands.size() && !commands[end].barrier_before) ++end;
    for (size_t i = end; i-- > begin;) run(commands[i]);
    begin = end;
  }
}

TEST_CASE("encoder: commands without a barrier between them give the same bytes in reverse order") {
  FakeState state;
  Device device = fake_device(state);
  Buffer buffer = make_buffer(device, kBufferBytes);
  size_t differs_without_barriers = 0;
  for (uint32_t seed = 1; seed <= kGraphs; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](uint64_t count) { return std::uniform_int_distribution<uint64_t>(0, count - 1)(random); };
    Encoder encoder = device.encoder();
    for (int i = 0; i < 20; ++i) {
      const uint64_t size = 4 * (1 + pick(8));
      const BufferSlice a = buffer.slice(4 * pick((kBufferBytes - size) / 4), size);
      const BufferSlice b = buffer.slice(4 * pick((kBufferBytes - size) / 4), size);
      if (pick(3) == 0) {
        REQUIRE(encoder.fill(a, static_cast<uint32_t>(pick(UINT32_MAX))).ok());
      } else {
        static_cast<void>(encoder.copy(a, b));  // refused where they overlap
      }
    }
    const auto after = [&](auto&& run_all) {
      for (size_t i = 0; i < kBufferBytes; ++i) buffer.mapped()[i] = static_cast<std::byte>(i);
      run_all();
      return std::vector<std::byte>(buffer.mapped().begin(), buffer.mapped().end());
    };
    const auto in_order = after([&] {
      for (const Command& command : encoder.commands()) run(command);
    });
    const auto reordered = after([&] { run_backwards_between_barriers(encoder.commands()); });
    const auto all_backwards = after([&] {
      for (size_t i = encoder.commands().size(); i-- > 0;) run(encoder.commands()[i]);
    });
    REQUIRE(reordered == in_order);
    differs_without_barriers += all_backwards != in_order;
  }
  MESSAGE(differs_without_barriers, " of ", kGraphs, " graphs show a wrong order in their bytes");
  CHECK(differs_without_barriers > kGraphs / 2);
}

}  // namespace
}  // namespace quire
