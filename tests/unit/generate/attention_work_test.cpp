// What a step's attention says that it reads: the slots that queries see, in the formats that they are in, and nothing else.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <vector>

#include "engine/forward/kernels.hpp"
#include "engine/forward/scratch.hpp"
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
constexpr size_t kLayers = std::size(kWindows);
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

uint64_t prompt_macs(uint32_t begin, uint32_t end, uint32_t window) {
  uint64_t macs = 0;
  for (uint32_t slot = begin; slot < end; ++slot) macs += seen(slot, window) * kQueryHeads * 2 * kHeadLength;
  return macs;
}

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
  for (size_t layer = 0; layer < kLayers; ++layer)
    for (const auto& [length, slot_bytes] : {std::pair{kLong, kQ8SlotBytes}, {kShort, kF32SlotBytes}}) {
      const uint32_t window = kWindows[layer];
      const uint32_t begin = layer + 1 < kLayers ? 0 : length - 1;  // the last layer, for the newest token's logits
      for (uint32_t first = begin; first < length; first += tile) {
        const uint32_t last = std::min(first + tile, length) - 1;
        const uint64_t of_tile = last + 1 - (first + 1 - seen(first, window));
        expected.bytes += kQueryHeads / kKvHeads * of_tile * slot_bytes + 2 * tile * kQueryBytes;
      }
      expected.macs += prompt_macs(begin, length, window);
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

TEST_CASE("attention_work: the last layer attends for the tokens whose logits are wanted; where none are, neither it nor what follows is computed") {
  VulkanFixture fixture([](DeviceOptions& options) { options.timestamps = true; });
  Device& device = fixture.device();
  auto opened = Model::open(device, std::make_shared<MemorySource>(windowed_model()), {});
  REQUIRE(opened.ok());
  Model& model = **opened;
  constexpr uint32_t kLength = 90;
  for (const uint32_t wanted : {0U, 1U, 20U, 60U}) {
    CAPTURE(wanted);
    const auto session = Session::create(model, {.formats = {PageFormat::f32, PageFormat::f32}}).value();
    session->request({.logits_last = wanted});
    REQUIRE(session->append(std::vector<uint32_t>(kLength, 7), Phase::prompt).ok());
    Session* const one[] = {session.get()};
    REQUIRE(run_steps(one, kTimeout).ok());
    const std::vector<KernelTiming> timings = std::move(device.take_timings()).value();
    const auto dispatches = [&](KernelId id) { return std::ranges::count_if(timings, [&](const KernelTiming& timing) { return timing.kernel.id == id; }); };
    uint64_t macs = 0;
    for (const KernelTiming& timing : timings) macs += timing.kernel.id == KernelId::attend_prefill ? timing.work.macs : 0;
    CHECK(macs == prompt_macs(0, kLength, kWindow) * 2 + prompt_macs(kLength - wanted, kLength, 0));
    CHECK(dispatches(KernelId::attend_prefill) == (wanted == 0 ? 2 : 3));
    CHECK(dispatches(KernelId::rope_page_write) == 3);
    CHECK(dispatches(KernelId::argmax) == (wanted + kLogitRows - 1) / kLogitRows);
  }
}
