#include "engine/generate/sampler.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

using namespace quire;

namespace {

constexpr uint32_t kSeed = 20;

uint64_t random_word(uint64_t seed, uint64_t token_index) {
  const Wide fraction = random_fraction(seed, token_index);
  return uint64_t{fraction.high} << 32 | fraction.low;
}

}  // namespace

TEST_CASE("sampler: Philox gives the known answers of its authors") {
  CHECK(philox_4x32_10({0, 0, 0, 0}, {0, 0}) == std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox_4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox_4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("sampler: the random number depends on seed and index alone, and is evenly spread") {
  CHECK(random_word(1, 2) == random_word(1, 2));
  CHECK(random_word(1, 2) != random_word(1, 3));
  CHECK(random_word(1, 2) != random_word(2, 2));
  CHECK(random_word(1, 2) != random_word(1, (uint64_t{1} << 32) + 2));
  constexpr int kDraws = 20000;
  std::array<int, 10> bins{};
  for (uint64_t i = 0; i < kDraws; ++i) ++bins[static_cast<size_t>(std::ldexp(static_cast<double>(random_word(kSeed, i) >> 11), -53) * 10)];
  double chi_squared = 0;
  for (int count : bins) chi_squared += (count - kDraws / 10.0) * (count - kDraws / 10.0) / (kDraws / 10.0);
  CHECK(chi_squared < 27.9);  // 9 degrees of freedom, one chance in a thousand
}

TEST_CASE("sampler: the kernel gets what the options mean, and no number that it could not take") {
  const SamplingRow row = sampling_row({.temperature = 0.5, .top_k = 7, .top_p = 0.75, .min_p = 0.25, .seed = 3}, 9);
  CHECK(row.top_k == 7);
  CHECK(row.top_p.high == 0xc0000000);
  CHECK(row.top_p.low == 0);
  CHECK(row.min_p == doctest::Approx(std::log(4.0) / 2));
  CHECK(row.steepness == 4);
  CHECK(row.point.high == random_fraction(3, 9).high);
  const SamplingRow all = sampling_row({.temperature = 1}, 0);
  CHECK(all.top_k == 0);
  CHECK((all.top_p.low == 0 && all.top_p.high == 0));
  CHECK(all.min_p == std::numeric_limits<float>::max());
  CHECK(sampling_row({.temperature = 1, .top_p = 1}, 0).top_p.high == 0);
  CHECK(sampling_row({.temperature = 1, .top_p = 1e-300}, 0).top_p.low == 1);
  CHECK(sampling_row({.temperature = 1, .min_p = 1}, 0).min_p == 0);
  for (const double temperature : {1e-300, 1e-45, 1e-6, 1e6, 1e300}) {
    const float steepness = sampling_row({.temperature = temperature}, 0).steepness;
    CHECK(std::isnormal(steepness));
  }
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
