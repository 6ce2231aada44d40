// argmax and sample over rows of logits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "engine/device/reference/reference_kernels.hpp"

namespace quire::reference {
namespace {

/// Where the running sum of the weights reaches the part `fraction` of them all (`above`: wide_fraction).
size_t find_place(std::span<const Wide> weights, Wide fraction, uint32_t above) {
  Wide total{0, 0};
  for (const Wide weight : weights) total = wide_sum(total, weight);
  Wide target = wide_fraction(total, fraction, above);
  if (target.low == 0 && target.high == 0) target.low = 1;
  Wide sum = weights[0];
  size_t place = 0;
  while (wide_less(sum, target)) sum = wide_sum(sum, weights[++place]);
  return place;
}

std::vector<Wide> weights_of(std::span<const float> ordered, float steepness) {
  std::vector<Wide> weights;
  for (const float logit : ordered) weights.push_back(sampling_weight(std::bit_cast<uint32_t>(half_distance(ordered[0], logit) * steepness)));
  return weights;
}

SampleResult sample_row(std::span<const float> logits, const SamplingRow& how) {
  const auto strange = std::count_if(logits.begin(), logits.end(), [](float logit) { return !std::isfinite(logit); });
  if (strange > 0) return {0, static_cast<uint32_t>(strange)};
  std::vector<uint32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return logits[a] > logits[b]; });
  std::vector<float> kept;
  for (const uint32_t index : order) kept.push_back(logits[index]);
  if (how.top_k != 0 && how.top_k < kept.size()) kept.resize(how.top_k);
  if (how.top_p.low != 0 || how.top_p.high != 0) kept.resize(find_place(weights_of(kept, 2.0F), how.top_p, FRACTION_REACHED) + 1);
  while (half_distance(kept.front(), kept.back()) > how.min_p) kept.pop_back();
  return {order[find_place(weights_of(kept, how.steepness), how.point, FRACTION_EXCEEDED)], 0};
}

}  // namespace

void argmax(const ArgmaxArgs& args, const KernelVariant&) {
  const auto* logits = host_pointer<const float>(args.logits);
  auto* results = host_pointer<ArgmaxResult>(args.results);
  for (uint32_t row = 0; row < args.row_count; ++row) {
    const float* values = logits + uint64_t{row} * args.vocabulary;
    ArgmaxResult result{0, -std::numeric_limits<float>::infinity(), 0, 0};
    for (uint32_t i = 0; i < args.vocabulary; ++i) {
      if (!std::isfinite(values[i])) {
        ++result.non_finite;
      } else if (values[i] > result.value) {
        result.index = i;
        result.value = values[i];
      }
    }
    results[row] = result;
  }
}

void sample(const SampleArgs& args, const KernelVariant&) {
  const auto* logits = host_pointer<const float>(args.logits);
  const auto* rows = host_pointer<const SamplingRow>(args.rows);
  auto* results = host_pointer<SampleResult>(args.results);
  for (uint32_t row = 0; row < args.row_count; ++row)
    results[row] = sample_row(std::span(logits + uint64_t{row} * args.vocabulary, args.vocabulary), rows[row]);
}

}  // namespace quire::reference
