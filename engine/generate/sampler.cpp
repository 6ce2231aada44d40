#include "engine/generate/sampler.hpp"

#include <algorithm>
#include <cmath>

namespace quire {

Status check_sampling(const SamplingOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature < 0)
    return make_error(Code::invalid_argument, "a temperature of %g is not a finite number of at least 0", options.temperature);
  if (!(options.top_p >= 0 && options.top_p <= 1)) return make_error(Code::invalid_argument, "top_p of %g is outside 0 .. 1", options.top_p);
  if (!(options.min_p >= 0 && options.min_p <= 1)) return make_error(Code::invalid_argument, "min_p of %g is outside 0 .. 1", options.min_p);
  return {};
}

bool comes_before(const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; }

void keep_top_k(Candidates& candidates, uint32_t k) {
  if (k != 0 && k < candidates.size()) {
    const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(k);
    std::nth_element(candidates.begin(), end, candidates.end(), comes_before);
    candidates.erase(end, candidates.end());
  }
  std::sort(candidates.begin(), candidates.end(), comes_before);
}

void keep_top_p(Candidates& candidates, double p) {
  if (p <= 0 || p >= 1 || candidates.empty()) return;
  const double largest = candidates.front().logit;
  double total = 0;
  for (const Candidate& candidate : candidates) total += std::exp(candidate.logit - largest);
  double sum = 0;
  size_t kept = 0;
  while (kept < candidates.size() && sum < p * total) sum += std::exp(candidates[kept++].logit - largest);
  candidates.resize(kept);
}

void keep_min_p(Candidates& candidates, double p) {
  if (p <= 0 || candidates.empty()) return;
  const double smallest = candidates.front().logit + std::log(p);
  const auto below = [&](const Candidate& candidate) { return candidate.logit < smallest; };
  candidates.erase(std::find_if(candidates.begin() + 1, candidates.end(), below), candidates.end());
}

uint32_t draw(std::span<const Candidate> candidates, double temperature, double uniform) {
  const double largest = candidates.front().logit;
  const auto weight = [&](const Candidate& candidate) { return std::exp((candidate.logit - largest) / temperature); };
  double total = 0;
  for (const Candidate& candidate : candidates) total += weight(candidate);
  double sum = 0;
  for (const Candidate& candidate : candidates) {
    sum += weight(candidate);
    if (sum > uniform * total) return candidate.id;
  }
  return candidates.back().id;
}

uint32_t sample_candidates(Candidates& candidates, const SamplingOptions& options, uint64_t token_index) {
  if (options.temperature == 0) return std::min_element(candidates.begin(), candidates.end(), comes_before)->id;
  keep_top_k(candidates, options.top_k);
  keep_top_p(candidates, options.top_p);
  keep_min_p(candidates, options.min_p);
  return draw(candidates, options.temperature, uniform_at(options.seed, token_index));
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

double uniform_at(uint64_t seed, uint64_t token_index) {
  const auto words = philox_4x32_10({static_cast<uint32_t>(token_index), static_cast<uint32_t>(token_index >> 32), 0, 0},
                                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t bits = (uint64_t{words[0]} << 32 | words[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace quire
