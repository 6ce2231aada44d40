// argmax and top_k over rows of logits.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "engine/device/reference/reference_kernels.hpp"

namespace quire::reference {

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

void top_k(const TopKArgs& args, const KernelVariant&) {
  const auto* logits = host_pointer<const float>(args.logits);
  auto* results = host_pointer<TopKEntry>(args.results);
  std::vector<float> values(args.vocabulary);
  std::vector<uint32_t> order(args.vocabulary);
  for (uint32_t row = 0; row < args.row_count; ++row) {
    std::copy_n(logits + uint64_t{row} * args.vocabulary, args.vocabulary, values.begin());
    for (float& value : values)
      if (std::isnan(value)) value = -std::numeric_limits<float>::infinity();
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return values[a] > values[b]; });
    for (uint32_t i = 0; i < args.count; ++i) results[uint64_t{row} * args.count + i] = {order[i], values[order[i]]};
  }
}

}  // namespace quire::reference
