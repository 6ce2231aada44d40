// sample against the reference, token by token, and both against the definitions of the filters and of softmax in double precision.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <iterator>
#include <limits>
#include <numeric>

#include "tests/conformance/support/outcome.hpp"
#include "tests/conformance/support/values.hpp"

namespace quire::conformance {
namespace {

constexpr float kAll = std::numeric_limits<float>::max();
constexpr Wide kLargest{0xffffffff, 0xffffffff};
constexpr uint64_t kSeed = 0x5a3b1e;

Wide wide(uint64_t value) { return {.low = static_cast<uint32_t>(value), .high = static_cast<uint32_t>(value >> 32)}; }
uint64_t word(Wide value) { return uint64_t{value.high} << 32 | value.low; }
Wide part(double value) { return wide(static_cast<uint64_t>(std::ldexp(value, 64))); }
float min_p_bound(double min_p) { return static_cast<float>(-0.5 * std::log(min_p)); }

struct SampleCase {
  uint32_t vocabulary = 0;
  std::vector<float> logits;  ///< [rows.size()][vocabulary]
  std::vector<SamplingRow> rows;
};

std::vector<SampleResult> run_sample(TestDevice& device, const SampleCase& c) {
  CaseMemory memory(device);
  const Region logits = memory.add(bytes_of(c.logits));
  const Region rows = memory.add(bytes_of(c.rows));
  const Region results = memory.add_output(c.rows.size() * sizeof(SampleResult));
  memory.place();
  const auto row_count = static_cast<uint32_t>(c.rows.size());
  const std::string failure = memory.run([&](Recorder r) {
    return record_sample(r, Activation{memory.slice(logits), c.vocabulary, row_count, 1}, memory.slice(rows), memory.slice(results));
  });
  REQUIRE_MESSAGE(failure.empty(), failure);
  std::vector<SampleResult> answers(row_count);
  std::memcpy(answers.data(), memory.after(results).data(), row_count * sizeof(SampleResult));
  return answers;
}

/// On Vulkan, and equal to the reference's.
std::vector<SampleResult> sampled(const SampleCase& c) {
  const std::vector<SampleResult> expected = run_sample(test_devices().reference, c);
  std::vector<SampleResult> actual = run_sample(test_devices().vulkan, c);
  for (size_t row = 0; row < expected.size(); ++row) {
    CAPTURE(row);
    CHECK(actual[row].token == expected[row].token);
    CHECK(actual[row].non_finite == expected[row].non_finite);
  }
  return actual;
}

enum class LogitKind : uint8_t {
  peaked, spread, few_values, all_equal, zeros_of_both_signs, strange, nothing_finite, largest_last, tiny, close, one_group, count
};

float logit(Random& random, LogitKind kind, uint32_t index, uint32_t vocabulary) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float strange[] = {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity};
  switch (kind) {
    case LogitKind::peaked: return random.below(500) == 0 ? random.uniform(15, 25) : random.uniform(-5, 5) + random.uniform(-5, 5);
    case LogitKind::spread: return random.uniform(-3e38f, 3e38f);
    case LogitKind::few_values: return random.grid(1, 0.5f);
    case LogitKind::all_equal: return -1.5f;
    case LogitKind::zeros_of_both_signs: return random.below(3) == 0 ? -1e-3f : random.below(2) ? -0.0f : 0.0f;
    case LogitKind::strange: return random.below(4) == 0 ? strange[random.below(3)] : random.uniform(-30, 30);
    case LogitKind::nothing_finite: return strange[random.below(3)];
    case LogitKind::largest_last: return index + 1 == vocabulary ? 3e38f : -3e38f;
    case LogitKind::tiny: return std::bit_cast<float>(random.below(2) << 31 | random.below(1 << 26));  // denormals, and numbers a little larger
    case LogitKind::close: return 7 + random.uniform(0, 1e-3f);
    case LogitKind::one_group: return index % 512 == 5 ? random.uniform(8, 9) : random.uniform(-1, 1);  // more than any list holds pass its bound
    case LogitKind::count: break;
  }
  return 0;
}

/// Without the point.
const SamplingRow kWays[] = {
    {.top_k = 40, .top_p = part(0.95), .min_p = min_p_bound(0.05), .steepness = 2.5f},
    {.top_k = 0, .min_p = kAll, .steepness = 2},
    {.top_k = 1, .min_p = kAll, .steepness = 2},
    {.top_k = 256, .min_p = kAll, .steepness = 0.1f},
    {.top_k = 257, .min_p = kAll, .steepness = 0.1f},
    {.top_k = 900, .top_p = part(0.9), .min_p = kAll, .steepness = 1},
    {.top_k = 30000, .top_p = part(0.5), .min_p = min_p_bound(1e-6), .steepness = 1},
    {.top_k = 0, .top_p = part(0.5), .min_p = kAll, .steepness = 2},
    {.top_k = 0, .top_p = part(0.999), .min_p = kAll, .steepness = 0.5f},
    {.top_k = 0, .top_p = wide(1), .min_p = kAll, .steepness = 1},
    {.top_k = 0, .top_p = kLargest, .min_p = kAll, .steepness = 1},
    {.top_k = 0, .min_p = 0, .steepness = 1},
    {.top_k = 0, .min_p = min_p_bound(0.3), .steepness = 1e-3f},
    {.top_k = 0, .top_p = part(0.7), .min_p = 3e37f, .steepness = 1e-38f},
    {.top_k = 70, .min_p = kAll, .steepness = 1e38f},
    {.top_k = 0, .min_p = kAll, .steepness = 0x1p127f},
};
constexpr uint32_t kWorkgroups[] = {8, 32, 128};

TEST_CASE("sample: the reference's token for every kind of logits, filters and point, whatever the workgroup") {
  constexpr uint32_t kVocabularies[] = {1, 7, 333, 513, 49152};
  const std::vector<uint32_t> sizes = {std::size(kVocabularies), static_cast<uint32_t>(LogitKind::count), std::size(kWays)};
  for_each_case(Coverage::product, sizes, [&](const Choice& choice) {
    VariantSet variants = test_devices().chosen;
    variants.search_workgroup = kWorkgroups[(choice[0] + choice[1] + choice[2]) % std::size(kWorkgroups)];
    const VariantScope scope(variants);
    SampleCase c{.vocabulary = kVocabularies[choice[0]]};
    Random random(kSeed + choice[1]);
    for (uint32_t row = 0; row < 3; ++row) {
      for (uint32_t i = 0; i < c.vocabulary; ++i) c.logits.push_back(logit(random, static_cast<LogitKind>(choice[1]), i, c.vocabulary));
      c.rows.push_back(kWays[(choice[2] + row) % std::size(kWays)]);
      c.rows.back().point = row == 0 ? wide(random.next()) : row == 1 ? Wide{0, 0} : kLargest;
    }
    CAPTURE(c.vocabulary);
    CAPTURE(choice[1]);
    CAPTURE(choice[2]);
    count_case(KernelId::sample);
    sampled(c);
  });
}

TEST_CASE("sample: rows of 262144 logits") {
  for_each_case(Coverage::product, std::vector<uint32_t>{std::size(kWays)}, [&](const Choice& choice) {
    SampleCase c{.vocabulary = 262144};
    Random random(kSeed);
    for (uint32_t i = 0; i < c.vocabulary; ++i) c.logits.push_back(logit(random, LogitKind::peaked, i, c.vocabulary));
    c.rows.push_back(kWays[choice[0]]);
    c.rows.back().point = wide(random.next());
    CAPTURE(choice[0]);
    count_case(KernelId::sample);
    sampled(c);
  });
}

/// Indices, largest logit first, lower index first among equals.
std::vector<uint32_t> in_order(std::span<const float> logits) {
  std::vector<uint32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  return order;
}

std::vector<double> softmax(std::span<const float> logits, std::span<const uint32_t> of, double temperature) {
  std::vector<double> p;
  double total = 0;
  for (const uint32_t i : of) total += p.emplace_back(std::exp((double{logits[i]} - logits[of[0]]) / temperature));
  for (double& x : p) x /= total;
  return p;
}

struct Filters {
  uint32_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
};

SamplingRow with(const Filters& filters, double temperature) {
  return {.top_k = filters.top_k,
          .top_p = filters.top_p < 1 ? part(filters.top_p) : Wide{},
          .min_p = filters.min_p > 0 ? min_p_bound(filters.min_p) : kAll,
          .steepness = static_cast<float>(2 / temperature)};
}

/// What the filters keep, in order, by their definitions; empty if a bound is so close that rounding decides.
std::vector<uint32_t> kept_by_definition(std::span<const float> logits, const Filters& filters) {
  std::vector<uint32_t> kept = in_order(logits);
  if (filters.top_k != 0 && filters.top_k < kept.size()) kept.resize(filters.top_k);
  const std::vector<double> p = softmax(logits, kept, 1);
  if (filters.top_p < 1) {
    double sum = 0;
    size_t count = 0;
    while (sum < filters.top_p && count < kept.size()) sum += p[count++];
    // Weights below 2^-40 are cut, and differences of logits are rounded to 24 bits.
    if (std::abs(sum - filters.top_p) < 1e-5 || std::abs(sum - p[count - 1] - filters.top_p) < 1e-5) return {};
    kept.resize(count);
  }
  while (p[kept.size() - 1] < filters.min_p * p[0]) kept.pop_back();
  if (filters.min_p > 0 && std::abs(p[kept.size() - 1] / p[0] - filters.min_p) < 1e-5 * filters.min_p) return {};
  return kept;
}

TEST_CASE("sample: the filters keep what their definitions say, and the draw reaches the first and the last of it") {
  Random random(kSeed);
  INFO("seed ", kSeed);
  uint32_t compared = 0, shortened = 0;
  for (const uint32_t vocabulary : {1u, 2u, 40u, 300u, 1500u, 20000u}) {
    SampleCase c{.vocabulary = vocabulary};
    std::vector<std::vector<uint32_t>> expected;
    for (uint32_t trial = 0; trial < (vocabulary > 2000 ? 12u : 60u); ++trial) {
      std::vector<float> logits(vocabulary);
      const float width = random.uniform(0.5f, 8);
      for (float& x : logits) x = random.uniform(-width, width) + (trial % 2 == 0 ? random.uniform(-width, width) : std::round(random.uniform(-1, 1)));
      Filters filters;
      if (random.below(2) == 0) filters.top_k = 1 + random.below(trial % 3 == 0 ? 2000 : 200);
      if (random.below(3) != 0) filters.top_p = random.uniform(0.01f, 0.99f);
      if (random.below(3) == 0) filters.min_p = random.uniform(0.001f, 0.9f);
      std::vector<uint32_t> kept = kept_by_definition(logits, filters);
      if (kept.empty()) continue;
      shortened += kept.size() < vocabulary;
      for (const Wide point : {Wide{0, 0}, kLargest}) {
        c.logits.insert(c.logits.end(), logits.begin(), logits.end());
        c.rows.push_back(with(filters, 1e6));  // all weigh nearly the same
        c.rows.back().point = point;
        expected.push_back(kept);
      }
    }
    CAPTURE(vocabulary);
    const std::vector<SampleResult> results = sampled(c);
    for (size_t row = 0; row < results.size(); ++row) {
      CAPTURE(row);
      CHECK(results[row].token == (row % 2 == 0 ? expected[row].front() : expected[row].back()));
      ++compared;
    }
  }
  CHECK(compared > 400);
  CHECK(shortened > 150);
}

/// Draws from the same logits at evenly random points, in bins of neighbours in order that each expect at least 20 draws: chi-squared, and its limit
/// that one run in a thousand exceeds (Wilson & Hilferty 1931).
void check_frequencies(std::span<const float> logits, const Filters& filters, double temperature, uint32_t draws) {
  const std::vector<uint32_t> kept = kept_by_definition(logits, filters);
  REQUIRE(!kept.empty());
  const std::vector<double> p = softmax(logits, kept, temperature);
  Random random(kSeed);
  std::vector<uint32_t> times(logits.size());
  SampleCase c{.vocabulary = static_cast<uint32_t>(logits.size())};
  for (uint32_t i = 0; i < draws; ++i) {
    c.logits.insert(c.logits.end(), logits.begin(), logits.end());
    c.rows.push_back(with(filters, temperature));
    c.rows.back().point = wide(random.next());
  }
  for (const SampleResult& result : sampled(c)) ++times[result.token];
  double chi_squared = 0, expected = 0;
  uint32_t seen = 0, all = 0, bins = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    expected += p[i] * draws;
    seen += times[kept[i]];
    all += times[kept[i]];
    if (expected < 20 && i + 1 < kept.size()) continue;
    chi_squared += (seen - expected) * (seen - expected) / std::max(expected, 1.0);
    ++bins;
    expected = seen = 0;
  }
  CHECK(all == draws);  // nothing that the filters cut is drawn
  REQUIRE(bins > 2);
  const double k = bins - 1;
  CHECK(chi_squared < k * std::pow(1 - 2 / (9 * k) + 3.09 * std::sqrt(2 / (9 * k)), 3));
}

TEST_CASE("sample: draws follow softmax(logit / temperature) of what top_k, top_p and min_p keep, in this order") {
  Random random(kSeed);
  std::vector<float> logits(40);
  for (float& x : logits) x = random.uniform(-4, 4) + random.uniform(-4, 4);
  logits[11] = logits[23];
  check_frequencies(logits, {}, 1, 6000);
  check_frequencies(logits, {}, 0.6, 6000);
  check_frequencies(logits, {.top_k = 20, .top_p = 0.95, .min_p = 0.02}, 1.7, 6000);
  check_frequencies(logits, {.top_k = 10}, 30, 6000);
  check_frequencies(std::vector<float>(40, 2.5f), {.top_k = 30}, 0.1, 6000);
}

TEST_CASE("sample: draws beyond the list follow softmax, too") {
  Random random(kSeed);
  std::vector<float> logits(3000);
  for (float& x : logits) x = random.uniform(-2, 2);
  check_frequencies(logits, {}, 1.3, 1000);
  check_frequencies(logits, {.top_k = 1200, .top_p = 0.8}, 0.9, 1000);
}

TEST_CASE("sample: at the lowest temperature only the largest are drawn, at the highest all alike") {
  std::vector<float> logits(600, -3e38f);
  logits[17] = logits[400] = 3e38f;
  logits[401] = std::nextafter(3e38f, 0.0f);
  SampleCase c{.vocabulary = 600};
  const float coldest = 0x1p127f, hottest = 0x1p-125f;
  for (const auto& [steepness, point] : {std::pair{coldest, part(0.4)}, std::pair{coldest, part(0.6)}, std::pair{hottest, kLargest}}) {
    c.logits.insert(c.logits.end(), logits.begin(), logits.end());
    c.rows.push_back({.min_p = kAll, .steepness = steepness, .point = point});
  }
  const std::vector<SampleResult> results = sampled(c);
  CHECK(results[0].token == 17);
  CHECK(results[1].token == 400);
  CHECK(results[2].token == 599);
}

TEST_CASE("sampling_weight: within 2^-28 of exp and one unit more, for floats of every size") {
  double worst = 0;
  uint64_t checked = 0;
  const auto check = [&](uint32_t bits) {
    const double expected = std::exp(-double{std::bit_cast<float>(bits)});
    const double weight = std::ldexp(static_cast<double>(word(sampling_weight(bits))), -40);
    const double error = std::abs(weight - expected);
    worst = std::max(worst, (error - 0x1p-40) / expected);
    if (error > 0x1p-28 * expected + 0x1p-40) FAIL("float ", bits, ": ", weight, " is not ", expected);
    ++checked;
  };
  for (uint32_t bits = 0; bits < 0x42400000; bits += 2001) check(bits);  // 0 to 48
  for (uint32_t bits = std::bit_cast<uint32_t>(0.01f); bits < 0x42000000; bits += 97) check(bits);
  MESSAGE("largest relative error, less one unit: 2^" << std::log2(worst) << " of " << checked);
  CHECK(word(sampling_weight(0)) == uint64_t{1} << 40);
  for (const float z : {48.0f, 3e38f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    CHECK(word(sampling_weight(std::bit_cast<uint32_t>(z) & 0x7fffffff)) == 0);
}

TEST_CASE("wide_fraction: the product of 64-bit numbers, rounded down plus 1, or up") {
  __extension__ using Product = unsigned __int128;
  Random random(kSeed);
  for (uint32_t i = 0; i < 20000; ++i) {
    const auto number = [&] { return i % 7 == 0 ? ~uint64_t{0} >> random.below(64) : random.next() >> random.below(64) << random.below(8); };
    const uint64_t value = number() >> 1, fraction = number();
    const Product product = static_cast<Product>(value) * fraction;
    const auto down = static_cast<uint64_t>(product >> 64);
    CHECK(word(wide_fraction(wide(value), wide(fraction), FRACTION_EXCEEDED)) == down + 1);
    CHECK(word(wide_fraction(wide(value), wide(fraction), FRACTION_REACHED)) == down + (static_cast<uint64_t>(product) != 0));
  }
}

}  // namespace
}  // namespace quire::conformance
