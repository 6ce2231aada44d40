// What a step's attention says that it reads: the slots that queries see, in the formats that they are in, and nothing else.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "engine/forward/kernels.hpp"
#include "engine/generate/model.hpp"
#include "engine/generate/session.hpp"
#include "tests/support/tiny_llama.hpp"
#include "tests/support/vulkan_fixture.hpp"

using namespace quire;
using namespace quire::test;

namespace {

constexpr std::chrono::seconds kTimeout{60};

// The tiny model: 2 K/V heads of 16 elements for 4 query heads. Of its three layers two see 70 slots, one sees all.
constexpr uint32_t kKvHeads = 2, kQueryHeads = 4, kHeadLength = 16, kWindow = 70;
constexpr uint32_t kWindows[] = {kWindow, kWindow, 0};
constexpr uint64_t kQueryBytes = 4 * kQueryHeads * kHeadLength;
constexpr uint64_t kF32SlotBytes = 2 * kKvHeads * kHeadLength * 4;
constexpr uint64_t kQ8SlotBytes = 2 * kKvHeads * (kHeadLength + 2);  // a code an element, one f16 scale a row

std::vector<std::byte> windowed_model() {
  testing::GgufWriter writer = testing::make_tiny_llama({.layers = 3});
  writer.add_u32("llama.attention.sliding_window", kWindow);
  writer.add_u32("llama.attention.sliding_window_pattern", 3);
  return writer.finish();
}

struct Sum {
  uint64_t bytes = 0;
  uint64_t macs = 0;
  uint64_t dispatches = 0;
};

Sum work_of(Device& device, KernelId id) {
  const std::vector<KernelTiming> timings = std::move(device.take_timings()).value();
  Sum sum;
  for (const KernelTiming& timing : timings) {
    if (timing.kernel.id != id) continue;
    sum.bytes += timing.work.bytes;
    sum.macs += timing.work.macs;
    ++sum.dispatches;
  }
  return sum;
}

uint64_t seen(uint32_t slot, uint32_t window) { return window == 0 ? slot + 1 : std::min(slot + 1, window); }

}  // namespace

TEST_CASE("attention_work: of prompts and of generated tokens, with and without a window, in both sessions' formats") {
  VulkanFixture fixture([](DeviceOptions& options) { options.timestamps = true; });
  Device& device = fixture.device();
  auto opened = Model::open(device, std::make_shared<MemorySource>(windowed_model()), {});
  REQUIRE(opened.ok());
  Model& model = **opened;
  const auto long_session = Session::create(model, {.formats = {PageFormat::q8, PageFormat::q8}}).value();
  const auto short_session = Session::create(model, {.formats = {PageFormat::f32, PageFormat::f32}}).value();
  Session* both[] = {long_session.get(), short_session.get()};

  constexpr uint32_t kLong = 150, kShort = 21;
  REQUIRE(long_session->append(std::vector<uint32_t>(kLong, 7), Phase::prompt).ok());
  REQUIRE(short_session->append(std::vector<uint32_t>(kShort, 9), Phase::prompt).ok());
  REQUIRE(run_steps(both, kTimeout).ok());
  const Sum prompt = work_of(device, KernelId::attend_prefill);
  const uint32_t tile = model.variants().many_column_tile;
  Sum expected{.dispatches = 3};
  for (const uint32_t window : kWindows)
    for (const auto& [length, slot_bytes] : {std::pair{kLong, kQ8SlotBytes}, {kShort, kF32SlotBytes}}) {
      for (uint32_t first = 0; first < length; first += tile) {
        const uint32_t last = std::min(first + tile, length) - 1;
        const uint64_t of_tile = last + 1 - (first + 1 - seen(first, window));
        expected.bytes += kQueryHeads / kKvHeads * of_tile * slot_bytes + 2 * tile * kQueryBytes;
      }
      for (uint32_t slot = 0; slot < length; ++slot) expected.macs += seen(slot, window) * kQueryHeads * 2 * kHeadLength;
    }
  CHECK(prompt.dispatches == expected.dispatches);
  CHECK(prompt.bytes == expected.bytes);
  CHECK(prompt.macs == expected.macs);

  const uint32_t token = 11;
  for (Session* session : both) REQUIRE(session->append(std::span(&token, 1), Phase::generated).ok());
  REQUIRE(run_steps(both, kTimeout).ok());
  const Sum generated = work_of(device, KernelId::attend_decode);
  expected = {.dispatches = 3};
  for (const uint32_t window : kWindows) {
    expected.bytes += seen(kLong, window) * kQ8SlotBytes + seen(kShort, window) * kF32SlotBytes + 2 * kQueryBytes;
    const uint32_t splits = std::max(split_count_for(model.variants(), kLong, window), split_count_for(model.variants(), kShort, window));
    expected.bytes += attend_partials_bytes(2, kQueryHeads, kHeadLength, splits);
    expected.macs += (seen(kLong, window) + seen(kShort, window)) * kQueryHeads * 2 * kHeadLength;
  }
  CHECK(generated.dispatches == expected.dispatches);
  CHECK(generated.bytes == expected.bytes);
  CHECK(generated.macs == expected.macs);
}
