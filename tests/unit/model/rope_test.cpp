// Frequencies of RoPE's pairs under every scaling, against numbers worked out by hand.
#include <cmath>
#include <doctest/doctest.h>
#include <numbers>
#include <vector>

#include "engine/model/rope.hpp"

namespace quire {
namespace {

TEST_CASE("rope: without scaling pair i turns by base^(-2i / dim) a token") {
  const RopeFrequencies rope = rope_frequencies({.base = 10000.0f}, 8, {});
  REQUIRE(rope.frequency.size() == 4);
  CHECK(rope.frequency[0] == 1.0);
  CHECK(rope.frequency[1] == doctest::Approx(0.1).epsilon(1e-12));
  CHECK(rope.frequency[2] == doctest::Approx(0.01).epsilon(1e-12));
  CHECK(rope.frequency[3] == doctest::Approx(0.001).epsilon(1e-12));
  CHECK(rope.magnitude == 1.0);
}

TEST_CASE("rope: linear scaling divides every frequency, and factors divide them pair by pair besides") {
  const std::vector<float> factors = {1, 2, 8, 0.5f};
  const RopeFrequencies rope = rope_frequencies({.base = 10000.0f, .factor = 4, .magnitude = 1.25f}, 8, factors);
  const double unscaled[] = {1, 0.1, 0.01, 0.001};
  for (size_t i = 0; i < 4; ++i) CHECK(rope.frequency[i] == doctest::Approx(unscaled[i] / 4 / double{factors[i]}).epsilon(1e-12));
  CHECK(rope.magnitude == 1.25);
}

// dim 32, base 10000, original context 512: the pair that turns t times is 32 ln(512 / (2 pi t)) / (2 ln 10000), which is 1.624 for 32 turns (rounded
// down: 1) and 7.644 for one turn (rounded up: 8).
TEST_CASE("rope: YaRN leaves fast pairs, divides slow ones, blends those between, and grows the magnitude with the factor's logarithm") {
  const RopeKind yarn{.base = 10000.0f, .factor = 4, .extrapolation = 1, .original_context = 512};
  const RopeFrequencies rope = rope_frequencies(yarn, 32, {});
  for (uint32_t i = 0; i < 16; ++i) {
    const double slow = i <= 1 ? 0 : i >= 8 ? 1 : (i - 1) / 7.0;
    const double unscaled = std::pow(10000.0, -2.0 * i / 32);
    CHECK(rope.frequency[i] == doctest::Approx(unscaled * (1 - slow) + unscaled / 4 * slow).epsilon(1e-12));
  }
  CHECK(rope.magnitude == doctest::Approx(1 + 0.1 * std::log(4.0)).epsilon(1e-12));

  RopeKind half = yarn;
  half.extrapolation = 0.5f;
  CHECK(rope_frequencies(half, 32, {}).frequency[0] == doctest::Approx(0.5 + 0.5 / 4).epsilon(1e-12));
  RopeKind narrower = yarn;
  narrower.beta_fast = 2;  // pair 6.44: rounded down to 6
  CHECK(rope_frequencies(narrower, 32, {}).frequency[6] == doctest::Approx(std::pow(10000.0, -12.0 / 32)).epsilon(1e-12));
}

}  // namespace
}  // namespace quire
