// Comparing what a device wrote with what the reference wrote.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace quire::conformance {

/// What memory holds before a kernel runs: NaN as an f32 and as two f16, and far outside every index.
inline constexpr uint32_t kPoison = 0x7fed7fedu;
inline const float kPoisonFloat = std::bit_cast<float>(kPoison);

/// Empty if all bytes are equal, else one sentence with the first difference and their number.
std::string differing_bytes(std::span<const std::byte> expected, std::span<const std::byte> actual);

/// How element `i` is compared. `skip`: its value is not specified.
struct Tolerance {
  double absolute = 0;
  bool skip = false;
};
using ToleranceOf = std::function<Tolerance(uint32_t element)>;

/// f32 elements of an output that was poison before. An element that the reference left poisoned must be poison on the other device too (it is not
/// to be written); any other must be a number on both and differ by at most its tolerance. Empty if so, else one sentence with the first violation.
std::string differing_floats(std::span<const float> expected, std::span<const float> actual, const ToleranceOf& tolerance);

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span<const T>(values));
}

/// Requires: aligned for T, a whole number of elements.
template <class T>
std::span<const T> elements_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

}  // namespace quire::conformance
