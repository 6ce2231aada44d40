// How a token is chosen: the options, what the kernel `sample` gets of them, and randomness that is a function of (seed, token index) alone.
#pragma once

#include <array>
#include <cstdint>

#include "engine/base/result.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire {

struct SamplingOptions {
  double temperature = 0;  ///< 0: greedy
  uint32_t top_k = 0;      ///< 0: all
  double top_p = 0;        ///< 0 or 1: all
  double min_p = 0;        ///< 0: all
  uint64_t seed = 0;
};

/// On error: invalid_argument (temperature negative or not finite, top_p or min_p outside 0 .. 1).
Status check_sampling(const SamplingOptions& options);

/// The options as the kernel takes them, for the token at `token_index` of its timeline. Temperatures beyond 2^-126 .. 2^126 count as these.
/// Requires: options pass check_sampling; temperature > 0.
SamplingRow sampling_row(const SamplingOptions& options, uint64_t token_index);

/// Philox 4x32 with 10 rounds (Salmon et al. 2011): 128 random bits of a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> philox_4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);
/// A random part of 2^64. Key: the seed; counter: the token's index in its timeline.
Wide random_fraction(uint64_t seed, uint64_t token_index);

}  // namespace quire
