#include "engine/generate/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quire {
namespace {

/// `part` as a fraction of 2^64; not 0, which would stand for all. Requires: 0 < part < 1.
Wide fraction_of_one(double part) {
  const auto bits = std::max<uint64_t>(static_cast<uint64_t>(std::ldexp(part, 64)), 1);
  return {.low = static_cast<uint32_t>(bits), .high = static_cast<uint32_t>(bits >> 32)};
}

}  // namespace

Status check_sampling(const SamplingOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature < 0)
    return make_error(Code::invalid_argument, "a temperature of %g is not a finite number of at least 0", options.temperature);
  if (!(options.top_p >= 0 && options.top_p <= 1)) return make_error(Code::invalid_argument, "top_p of %g is outside 0 .. 1", options.top_p);
  if (!(options.min_p >= 0 && options.min_p <= 1)) return make_error(Code::invalid_argument, "min_p of %g is outside 0 .. 1", options.min_p);
  return {};
}

SamplingRow sampling_row(const SamplingOptions& options, uint64_t token_index) {
  SamplingRow row{};
  row.top_k = options.top_k;
  if (options.top_p > 0 && options.top_p < 1) row.top_p = fraction_of_one(options.top_p);
  row.min_p = options.min_p > 0 ? static_cast<float>(-0.5 * std::log(options.min_p)) : std::numeric_limits<float>::max();
  row.steepness = static_cast<float>(2 / std::clamp(options.temperature, 0x1p-126, 0x1p126));
  row.point = random_fraction(options.seed, token_index);
  return row;
}

std::array<uint32_t, 4> philox_4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53;
  constexpr uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9;
  constexpr uint32_t kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

Wide random_fraction(uint64_t seed, uint64_t token_index) {
  const auto words = philox_4x32_10({static_cast<uint32_t>(token_index), static_cast<uint32_t>(token_index >> 32), 0, 0},
                                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return {.low = words[1], .high = words[0]};
}

}  // namespace quire
