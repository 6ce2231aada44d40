#include "engine/generate/sampler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

using namespace quire;

namespace {

constexpr uint32_t kSeed = 20;

Candidates random_candidates(std::mt19937& random, uint32_t count) {
  std::normal_distribution<float> normal(0, 3);
  Candidates candidates;
  for (uint32_t id = 0; id < count; ++id) candidates.push_back({id, normal(random)});
  return candidates;
}

// Probabilities by the definition, in the order of the list.
std::vector<double> softmax(const Candidates& candidates, double temperature = 1) {
  std::vector<double> p;
  double total = 0;
  for (const Candidate& c : candidates) p.push_back(std::exp(double{c.logit} / temperature));
  for (double x : p) total += x;
  for (double& x : p) x /= total;
  return p;
}

std::vector<uint32_t> ids(const Candidates& candidates) {
  std::vector<uint32_t> result;
  for (const Candidate& c : candidates) result.push_back(c.id);
  return result;
}

}  // namespace

TEST_CASE("sampler: Philox gives the known answers of its authors") {
  CHECK(philox_4x32_10({0, 0, 0, 0}, {0, 0}) == std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox_4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox_4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("sampler: the random number depends on seed and index alone, is below 1 and evenly spread") {
  CHECK(uniform_at(1, 2) == uniform_at(1, 2));
  CHECK(uniform_at(1, 2) != uniform_at(1, 3));
  CHECK(uniform_at(1, 2) != uniform_at(2, 2));
  CHECK(uniform_at(1, 2) != uniform_at(1, (uint64_t{1} << 32) + 2));
  constexpr int kDraws = 20000;
  std::array<int, 10> bins{};
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double u = uniform_at(kSeed, i);
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    ++bins[static_cast<size_t>(u * 10)];
  }
  double chi_squared = 0;
  for (int count : bins) chi_squared += (count - kDraws / 10.0) * (count - kDraws / 10.0) / (kDraws / 10.0);
  CHECK(chi_squared < 27.9);  // 9 degrees of freedom, one chance in a thousand
}

TEST_CASE("sampler: top_k keeps the k largest, the lower id first among equals") {
  Candidates candidates({{7, 1.0f}, {3, 2.0f}, {5, 1.0f}, {1, 1.0f}, {9, 0.5f}});
  keep_top_k(candidates, 3);
  CHECK(ids(candidates) == std::vector<uint32_t>{3, 1, 5});
  Candidates all({{7, 1.0f}, {3, 2.0f}});
  keep_top_k(all, 0);
  CHECK(ids(all) == std::vector<uint32_t>{3, 7});
  keep_top_k(all, 5);
  CHECK(all.size() == 2);
}

TEST_CASE("sampler: filters keep what the formulas say on random lists") {
  INFO("seed ", kSeed);
  std::mt19937 random(kSeed);
  std::uniform_real_distribution<double> unit(0.01, 0.99);
  int shortened_by_top_p = 0, shortened_by_min_p = 0;
  for (uint32_t trial = 0; trial < 500; ++trial) {
    Candidates sorted = random_candidates(random, 1 + trial % 300);
    keep_top_k(sorted, 0);
    REQUIRE(std::is_sorted(sorted.begin(), sorted.end(), comes_before));
    const std::vector<double> p = softmax(sorted);

    const double top_p = unit(random);
    size_t expected = 0;
    for (double sum = 0; sum < top_p && expected < p.size(); ++expected) sum += p[expected];
    Candidates kept = sorted;
    keep_top_p(kept, top_p);
    CHECK(kept.size() == expected);
    shortened_by_top_p += kept.size() < sorted.size();

    const double min_p = unit(random);
    Candidates likely = sorted;
    keep_min_p(likely, min_p);
    CHECK(static_cast<std::ptrdiff_t>(likely.size()) == std::count_if(p.begin(), p.end(), [&](double x) { return x >= min_p * p[0]; }));
    shortened_by_min_p += likely.size() < sorted.size();
  }
  CHECK(shortened_by_top_p > 100);
  CHECK(shortened_by_min_p > 100);
}

TEST_CASE("sampler: a filter never removes the most likely token") {
  Candidates candidates({{1, 5.0f}, {2, 5.0f}, {3, -90.0f}});
  keep_top_p(candidates, 1e-9);
  CHECK(ids(candidates) == std::vector<uint32_t>{1});
  Candidates equal({{1, 5.0f}, {2, 5.0f}, {3, 4.0f}});
  keep_min_p(equal, 1.0);
  CHECK(ids(equal) == std::vector<uint32_t>{1, 2});
}

TEST_CASE("sampler: draws follow softmax(logit / temperature) after top_k, top_p and min_p in this order") {
  std::mt19937 random(kSeed);
  Candidates candidates = random_candidates(random, 40);
  const SamplingOptions options{.temperature = 1.7, .top_k = 20, .top_p = 0.95, .min_p = 0.08, .seed = kSeed};

  Candidates kept = candidates;
  std::sort(kept.begin(), kept.end(), comes_before);
  kept.resize(20);
  std::vector<double> p = softmax(kept);
  double sum = 0;
  size_t count = 0;
  while (sum < 0.95) sum += p[count++];
  kept.resize(count);
  while (p[kept.size() - 1] < 0.08 * p[0]) kept.pop_back();
  REQUIRE(kept.size() > 2);
  REQUIRE(kept.size() < count);  // each filter had work to do
  REQUIRE(count < 20);
  p = softmax(kept, 1.7);

  constexpr int kDraws = 20000;
  std::map<uint32_t, int> drawn;
  for (uint64_t i = 0; i < kDraws; ++i) {
    Candidates copy = candidates;
    ++drawn[sample_candidates(copy, options, i)];
  }
  for (const auto& [id, times] : drawn) CHECK(std::any_of(kept.begin(), kept.end(), [&](const Candidate& c) { return c.id == id; }));
  for (size_t i = 0; i < kept.size(); ++i) {
    const double expected = p[i] * kDraws;
    CHECK(std::abs(drawn[kept[i].id] - expected) < 4.5 * std::sqrt(expected * (1 - p[i])) + 1);
  }
}

TEST_CASE("sampler: temperature 0 takes the largest logit, the lowest id among equals") {
  Candidates candidates({{9, 1.0f}, {4, 3.0f}, {2, 3.0f}});
  CHECK(sample_candidates(candidates, {}, 0) == 2);
}

TEST_CASE("sampler: extreme temperatures and logits stay in bounds") {
  for (const double temperature : {1e-300, 1e-6, 1e6, 1e300}) {
    Candidates candidates({{4, 3.0e38f}, {2, -3.0e38f}, {3, 3.0e38f}});
    const uint32_t id = sample_candidates(candidates, {.temperature = temperature, .seed = 5}, 7);
    CHECK((id == 4 || id == 3 || (id == 2 && temperature == 1e300)));
  }
  const Candidate one[] = {{8, -1.0f}};
  CHECK(draw(one, 1.0, 0.0) == 8);
  CHECK(draw(one, 1.0, 1 - 0x1p-53) == 8);
}

TEST_CASE("sampler: options outside their range are refused") {
  CHECK(check_sampling({}).ok());
  CHECK(check_sampling({.temperature = 2, .top_k = 1000000, .top_p = 1, .min_p = 1}).ok());
  CHECK(check_sampling({.temperature = -0.1}).code() == Code::invalid_argument);
  CHECK(check_sampling({.temperature = std::numeric_limits<double>::quiet_NaN()}).code() == Code::invalid_argument);
  CHECK(check_sampling({.temperature = std::numeric_limits<double>::infinity()}).code() == Code::invalid_argument);
  CHECK(check_sampling({.top_p = 1.01}).code() == Code::invalid_argument);
  CHECK(check_sampling({.top_p = std::numeric_limits<double>::quiet_NaN()}).code() == Code::invalid_argument);
  CHECK(check_sampling({.min_p = -1}).code() == Code::invalid_argument);
}
