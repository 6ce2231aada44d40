#include "tests/conformance/support/compare.hpp"

#include <cmath>
#include <cstdio>

namespace quire::conformance {
namespace {

template <class... Arguments>
std::string sentence(const char* format, Arguments... arguments) {
  char text[256];
  std::snprintf(text, sizeof(text), format, arguments...);
  return text;
}

}  // namespace

std::string differing_bytes(std::span<const std::byte> expected, std::span<const std::byte> actual) {
  if (expected.size() != actual.size()) return sentence("%zu bytes, expected %zu.", actual.size(), expected.size());
  size_t first = 0;
  size_t count = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    if (expected[i] != actual[i] && count++ == 0) first = i;
  if (count == 0) return {};
  return sentence("%zu of %zu bytes differ, the first at %zu: 0x%02x, expected 0x%02x.", count, expected.size(), first,
                  std::to_integer<unsigned>(actual[first]), std::to_integer<unsigned>(expected[first]));
}

std::string differing_floats(std::span<const float> expected, std::span<const float> actual, const ToleranceOf& tolerance) {
  if (expected.size() != actual.size()) return sentence("%zu elements, expected %zu.", actual.size(), expected.size());
  std::string first;
  size_t count = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool written = std::bit_cast<uint32_t>(expected[i]) != kPoison;
    const Tolerance allowed = tolerance(static_cast<uint32_t>(i));
    if (allowed.skip) continue;
    const double a = expected[i];
    const double b = actual[i];
    const bool same = written ? a == b || std::abs(a - b) <= allowed.absolute : std::bit_cast<uint32_t>(actual[i]) == kPoison;
    if (same) continue;
    if (count++ == 0)
      first = written ? sentence("element %zu is %.9g, expected %.9g +- %.2g", i, b, a, allowed.absolute)
                      : sentence("element %zu is %.9g, expected to be left alone", i, b);
  }
  if (count == 0) return {};
  return sentence("%zu of %zu elements are wrong: ", count, expected.size()) + first + ".";
}

}  // namespace quire::conformance
