// attend_prefill against the reference.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <iterator>

#include "tests/conformance/support/attention_case.hpp"
#include "tests/conformance/support/attention_runs.hpp"

namespace quire::conformance {
namespace {

void compare_prefill(AttentionCase& c) {
  prepare(c);
  CAPTURE(c.seed);
  CAPTURE(c.shape.q_heads);
  CAPTURE(c.shape.page.kv_heads);
  CAPTURE(c.shape.page.k_dim);
  CAPTURE(c.shape.page.v_dim);
  CAPTURE(c.shape.page.tokens);
  CAPTURE(c.shape.window);
  CAPTURE(arrangement_name(c.arrangement));
  CAPTURE(format_mix_name(c.formats));
  CAPTURE(key_values_name(c.values));
  CAPTURE(c.sequences[0].history);
  CAPTURE(c.sequences[0].count);
  CAPTURE(c.sequences.size());
  compare_devices(KernelId::attend_prefill, [&](TestDevice& device) { return run_prefill(device, c); },
                  [&](uint32_t) -> Tolerance { return {c.tolerance(), false}; });

  // Neither fewer queries an invocation nor loading for all lanes at once changes a bit; the latter is asked for where a workgroup is no whole subgroup, too.
  const Outcome one_by_one = run_prefill(test_devices().vulkan, c);
  VariantSet variants = test_devices().chosen;
  for (const uint32_t workgroup : {variants.attend_prefill_workgroup, std::max(variants.attend_prefill_workgroup / 2, 1U)}) {
    CAPTURE(workgroup);
    variants.attend_prefill_workgroup = variants.lanes_per_load = workgroup;
    const VariantScope scope(variants);
    const Outcome together = run_prefill(test_devices().vulkan, c);
    REQUIRE_MESSAGE(together.failure.empty(), "loading for all lanes at once: ", together.failure);
    const std::string other = differing_floats(one_by_one.values, together.values, exactly);
    CHECK_MESSAGE(other.empty(), "loading for all lanes at once: ", other);
  }
}

TEST_CASE("attend_prefill: every length at a page's end, page table and page format") {
  for_each_case(Coverage::product, std::vector<uint32_t>{kHistoryCount, kArrangementCount, kFormatMixCount}, [](const Choice& choice) {
    AttentionCase c;
    c.shape = {{2, 2, 64, 64, 16}, 1, 4, 0, 0.125f};
    c.arrangement = static_cast<Arrangement>(choice[1]);
    c.formats = static_cast<FormatMix>(choice[2]);
    c.sequences = {{history_slots(choice[0], 16), 5}, {3, 2}};
    c.column_tile = test_devices().chosen.many_column_tile;
    c.seed = 0xa77e + choice[0];
    compare_prefill(c);
  });
}

TEST_CASE("attend_prefill: head counts, head sizes, windows, chunks, batches, extreme scores") {
  constexpr uint32_t kChunks[] = {1, 2, 5, 17};
  const std::vector<uint32_t> sizes = {std::size(kHeadCounts), std::size(kHeadDims), kHistoryCount,     kArrangementCount,
                                       kFormatMixCount,        kWindowCount,         std::size(kChunks), kKeyValuesCount,
                                       std::size(kPageTokens), 2 /* one sequence, three */};
  for_each_case(Coverage::pairs, sizes, [&](const Choice& choice) {
    AttentionCase c;
    const uint32_t tokens = kPageTokens[choice[8]];
    const HeadDims dims = kHeadDims[choice[1]];
    c.shape = {{3, kHeadCounts[choice[0]].kv, dims.k, dims.v, tokens},
               choice[2] % 3,
               kHeadCounts[choice[0]].q,
               window_slots(choice[5], tokens),
               1 / std::sqrt(static_cast<float>(dims.k))};
    c.arrangement = static_cast<Arrangement>(choice[3]);
    c.formats = static_cast<FormatMix>(choice[4]);
    c.values = static_cast<KeyValues>(choice[7]);
    c.sequences = {{history_slots(choice[2], tokens), kChunks[choice[6]]}};
    if (choice[9] == 1) {
      c.sequences.push_back({0, 1});
      c.sequences.push_back({tokens - 1, 3});
    }
    c.column_tile = test_devices().chosen.many_column_tile;
    c.seed = 0xf1ea + choice[1] * 100 + choice[2];
    compare_prefill(c);
  }, 6);
}

}  // namespace
}  // namespace quire::conformance
