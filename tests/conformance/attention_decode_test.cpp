// attend_decode and attend_merge against the reference.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <iterator>

#include "tests/conformance/support/attention_case.hpp"
#include "tests/conformance/support/attention_runs.hpp"

namespace quire::conformance {
namespace {

/// Partials: sums and the weights' sum are off by at most the average's tolerance times the sum of weights; the maximum by its own rounding.
ToleranceOf partial_tolerance(const AttentionCase& c, const std::vector<float>& expected) {
  return [&](uint32_t element) -> Tolerance {
    const uint32_t stride = c.shape.page.v_dim + 2;
    const uint32_t part = element % stride;
    const double weight = expected[element / stride * stride + stride - 1];
    if (part < c.shape.page.v_dim) return {c.tolerance() * weight, false};
    if (part == c.shape.page.v_dim) return {4e-7 * c.max_score, false};
    return {(2e-6 + 4e-7 * c.max_score) * weight, false};
  };
}

/// attend_decode on its own, attend_merge on the reference's partials, and both together.
void compare_decode(AttentionCase& c, uint32_t extra_splits) {
  prepare(c);
  const uint32_t split_count = case_split_count(c, test_devices().vulkan.variants()) + extra_splits;
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
  CAPTURE(c.sequences.size());
  CAPTURE(split_count);
  const Outcome partials = run_decode(test_devices().reference, c, split_count);
  REQUIRE_MESSAGE(partials.failure.empty(), "reference: ", partials.failure);
  compare_devices(KernelId::attend_decode, [&](TestDevice& device) { return run_decode(device, c, split_count); },
                  partial_tolerance(c, partials.values));
  compare_devices(KernelId::attend_merge, [&](TestDevice& device) { return run_merge(device, c, split_count, partials.values); },
                  [&](uint32_t) -> Tolerance { return {2e-6 * c.max_value, false}; });
  const Outcome expected = run_decode_and_merge(test_devices().reference, c, split_count);
  const Outcome actual = run_decode_and_merge(test_devices().vulkan, c, split_count);
  REQUIRE_MESSAGE(actual.failure.empty(), "vulkan: ", actual.failure);
  const std::string difference = differing_floats(expected.values, actual.values, [&](uint32_t) -> Tolerance { return {c.tolerance(), false}; });
  CHECK_MESSAGE(difference.empty(), "decode and merge: ", difference);

  // Loading for all lanes at once gives the same bits; asked for where a workgroup is no whole subgroup it must change nothing.
  VariantSet variants = test_devices().chosen;
  for (const uint32_t workgroup : {variants.attend_decode_workgroup, std::max(variants.lanes / 2, 1U)}) {
    CAPTURE(workgroup);
    variants.attend_decode_workgroup = variants.lanes_per_load = workgroup;
    const VariantScope scope(variants);
    const double tolerance = workgroup == test_devices().chosen.attend_decode_workgroup ? 0 : c.tolerance();
    const Outcome together = run_decode_and_merge(test_devices().vulkan, c, split_count);
    REQUIRE_MESSAGE(together.failure.empty(), "loading for all lanes at once: ", together.failure);
    const std::string other = differing_floats(actual.values, together.values, [&](uint32_t) -> Tolerance { return {tolerance, false}; });
    CHECK_MESSAGE(other.empty(), "loading for all lanes at once: ", other);
  }
}

TEST_CASE("attend_decode, attend_merge: every length at a page's end, page table and page format") {
  for_each_case(Coverage::product, std::vector<uint32_t>{kHistoryCount, kArrangementCount, kFormatMixCount}, [](const Choice& choice) {
    AttentionCase c;
    c.shape = {{2, 2, 64, 64, 16}, 1, 4, 0, 0.125f};
    c.arrangement = static_cast<Arrangement>(choice[1]);
    c.formats = static_cast<FormatMix>(choice[2]);
    c.sequences = {{history_slots(choice[0], 16), 1}, {3, 1}};
    c.seed = 0xdec0de + choice[0];
    compare_decode(c, 0);
  });
}

TEST_CASE("attend_decode, attend_merge: head counts, head sizes, windows, batches, splits too many, extreme scores") {
  constexpr uint32_t kBatches[] = {1, 2, 5, 8};
  constexpr uint32_t kExtraSplits[] = {0, 1, 3};
  const std::vector<uint32_t> sizes = {std::size(kHeadCounts), std::size(kHeadDims), kHistoryCount,     kArrangementCount,
                                       kFormatMixCount,        kWindowCount,         std::size(kBatches), kKeyValuesCount,
                                       std::size(kPageTokens), std::size(kExtraSplits)};
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
    c.sequences = {{history_slots(choice[2], tokens), 1}};
    for (uint32_t i = 1; i < kBatches[choice[6]]; ++i) c.sequences.push_back({(i * 37) % 150, i == 2 ? 2u : 1u});
    c.seed = 0xdeca + choice[1] * 100 + choice[2];
    compare_decode(c, kExtraSplits[choice[9]]);
  }, 6);
}

}  // namespace
}  // namespace quire::conformance
