// Deterministic test data: activations and weight rows whose sums are exact, ordinary, or large.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/device/kernel_manifest.hpp"

namespace quire::conformance {

/// splitmix64 (Steele, Lea & Flood 2014): the same numbers everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// Requires: bound > 0.
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(next() % bound); }
  float uniform(float low, float high);
  /// A multiple of `step` in [-range, range].
  float grid(float range, float step);

 private:
  uint64_t state_;
};

enum class Values : uint8_t {
  exact,     ///< small integers: every sum of products is exact in a float, in any order, so results are compared exactly
  ordinary,  ///< magnitudes near 1
  large,     ///< magnitudes near 1e4
};
inline constexpr Values kAllValues[] = {Values::exact, Values::ordinary, Values::large};
const char* values_name(Values values);

float random_value(Random& random, Values values);
std::vector<float> random_values(Random& random, Values values, uint64_t count);

/// `rows` rows of `width` elements in the file's blocks, whose codes and scales of runs take any bits. Requires: width is a whole number of blocks.
std::vector<std::byte> random_weight_rows(Random& random, WeightType type, Values values, uint64_t rows, uint64_t width);

}  // namespace quire::conformance
