#include "engine/model/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace quire {
namespace {

/// The pair, as a fractional index, that turns `turns` times in the original context. In floats, as ggml's: the result is rounded to whole pairs.
float pair_that_turns(const RopeKind& kind, uint32_t rope_dim, float turns) {
  const float turn_length = turns * 2.0f * std::numbers::pi_v<float>;
  return static_cast<float>(rope_dim) * std::log(static_cast<float>(kind.original_context) / turn_length) / (2.0f * std::log(kind.base));
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeKind& kind, uint32_t rope_dim, std::span<const float> pair_factors) {
  RopeFrequencies result{std::vector<double>(rope_dim / 2), double{kind.magnitude}};
  const double scale = double{1.0f / kind.factor};
  const bool yarn = kind.extrapolation != 0;
  const double first = yarn ? std::max(0.0f, std::floor(pair_that_turns(kind, rope_dim, kind.beta_fast))) : 0;
  const double last = yarn ? std::min(static_cast<float>(rope_dim - 1), std::ceil(pair_that_turns(kind, rope_dim, kind.beta_slow))) : 0;
  for (uint32_t i = 0; i < rope_dim / 2; ++i) {
    const double unscaled = std::pow(double{kind.base}, -2.0 * i / rope_dim) / (pair_factors.empty() ? 1.0 : double{pair_factors[i]});
    const double slowness = std::clamp((i - first) / std::max(0.001, last - first), 0.0, 1.0);
    const double share = yarn ? (1 - slowness) * double{kind.extrapolation} : 0;
    result.frequency[i] = unscaled * scale * (1 - share) + unscaled * share;
  }
  if (yarn) result.magnitude *= 1.0 + 0.1 * std::log(double{kind.factor});
  return result;
}

}  // namespace quire
