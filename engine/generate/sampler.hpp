// Choosing the next token from logits: pure functions over (id, logit) lists, and randomness that is a function of (seed, token index) alone.
#pragma once

#include <array>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "engine/base/result.hpp"

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

struct Candidate {
  uint32_t id = 0;
  float logit = 0;
};
using Candidates = std::pmr::vector<Candidate>;

/// Candidates are ordered by falling logit, equal ones by rising id: the order of every list below.
bool comes_before(const Candidate& a, const Candidate& b);

/// Keeps the k first, in order. k 0, or at least the number of candidates: all of them, in order.
void keep_top_k(Candidates& candidates, uint32_t k);
/// Keeps the shortest beginning of the list whose probabilities, of all that are left, sum to at least p (Holtzman et al. 2020).
/// At least one stays. Requires: candidates are in order.
void keep_top_p(Candidates& candidates, double p);
/// Keeps those with at least p times the first one's probability. At least one stays. Requires: candidates are in order.
void keep_min_p(Candidates& candidates, double p);

/// Draws from softmax(logit / temperature): the first candidate at which the running sum of probabilities exceeds `uniform`.
/// Requires: candidates is not empty and in order; temperature > 0; 0 <= uniform < 1.
uint32_t draw(std::span<const Candidate> candidates, double temperature, double uniform);

/// Filters in the order top_k, top_p, min_p, then draws at the temperature. `candidates` is left filtered.
/// Requires: candidates is not empty and finite; options pass check_sampling.
uint32_t sample_candidates(Candidates& candidates, const SamplingOptions& options, uint64_t token_index);

/// Philox 4x32 with 10 rounds (Salmon et al. 2011): 128 random bits of a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> philox_4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);
/// In [0, 1), with 53 random bits. Key: the seed; counter: the token's index in its timeline.
double uniform_at(uint64_t seed, uint64_t token_index);

}  // namespace quire
