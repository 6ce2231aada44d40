// The oracle's own foundations, checked against answers worked out by hand or by another rule.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <set>
#include <string>
#include <vector>

#include "engine/base/half.hpp"
#include "engine/device/reference/reference_pages.hpp"
#include "engine/device/reference/weight_blocks.hpp"
#include "tests/conformance/support/case_plan.hpp"
#include "tests/conformance/support/compare.hpp"
#include "tests/conformance/support/values.hpp"

namespace quire::conformance {
namespace {

double half_value(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int mantissa = half & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST_CASE("half: every half becomes the float of its value and comes back with the same bits") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = half_to_float(half);
    if ((half & 0x7c00) == 0x7c00) {
      REQUIRE((half & 0x3ff ? std::isnan(value) : std::isinf(value)));
    } else {
      REQUIRE(static_cast<double>(value) == half_value(half));
    }
    REQUIRE(std::signbit(value) == ((half & 0x8000) != 0));
    REQUIRE(float_to_half(value) == half);
  }
}

TEST_CASE("half: between two neighbours the nearer is taken, and of equally near ones the even") {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const double low = half_value(static_cast<uint16_t>(bits));
    const double high = half_value(static_cast<uint16_t>(bits + 1));
    const auto middle = static_cast<float>((low + high) / 2);  // exact: one bit more than a half
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    REQUIRE(float_to_half(middle) == even);
    REQUIRE(float_to_half(-middle) == (even | 0x8000));
    REQUIRE(float_to_half(std::nextafter(middle, 0.0f)) == bits);
    REQUIRE(float_to_half(std::nextafter(middle, 1e9f)) == bits + 1);
  }
}

TEST_CASE("half: beyond the range") {
  CHECK(float_to_half(65519.996f) == 0x7bff);
  CHECK(float_to_half(65520.0f) == 0x7c00);
  CHECK(float_to_half(-1e30f) == 0xfc00);
  CHECK(float_to_half(INFINITY) == 0x7c00);
  CHECK(float_to_half(0x1p-25f) == 0);
  CHECK(float_to_half(0x1.000002p-25f) == 1);
  CHECK(float_to_half(1e-40f) == 0);
  CHECK(std::isnan(half_to_float(float_to_half(std::bit_cast<float>(0x7f800001u)))));
}

TEST_CASE("weight blocks: q4_1 takes low nibbles first, then high ones, each times scale plus minimum") {
  // scale 0.5 (0x3800), minimum -3 (0xc200); byte j holds j and 15 - j.
  uint8_t block[20] = {0x00, 0x38, 0x00, 0xc2};
  for (uint32_t j = 0; j < 16; ++j) block[4 + j] = static_cast<uint8_t>(j | (15 - j) << 4);
  float values[32];
  reference::unpack_weight_row(WeightType::q4_1, reinterpret_cast<const std::byte*>(block), values);
  for (uint32_t j = 0; j < 16; ++j) {
    CHECK(values[j] == 0.5f * static_cast<float>(j) - 3);
    CHECK(values[j + 16] == 0.5f * static_cast<float>(15 - j) - 3);
  }
}

TEST_CASE("weight blocks: q8_0 takes signed bytes times scale, block after block") {
  uint8_t blocks[68] = {};
  blocks[1] = 0x34;   // 0.25
  blocks[34 + 1] = 0xc0;  // -2
  blocks[2] = 127;
  blocks[3] = 0x80;
  blocks[34 + 2 + 31] = 5;
  float values[64];
  reference::unpack_weight_row(WeightType::q8_0, reinterpret_cast<const std::byte*>(blocks), values);
  CHECK(values[0] == 31.75f);
  CHECK(values[1] == -32.0f);
  CHECK(values[2] == 0.0f);
  CHECK(values[63] == -10.0f);
}

/// One row of 40 elements in a q8 page of one slot, written and read by the reference: 40 codes, 8 bytes of padding, 2 scales.
struct Q8Row {
  std::byte page[2 * 64] = {};
  PageEntry entry{reinterpret_cast<uint64_t>(page), PAGE_FORMAT_Q8 | PAGE_FORMAT_Q8 << 8, 0};
  SequenceInfo sequence{reinterpret_cast<uint64_t>(&entry), 1, 0};
  PageShape shape{1, 1, 40, 40, 1};
  reference::RowPlace place() const { return {sequence, shape, 0, 0, 0}; }
  int code(uint32_t i) const { return std::to_integer<int8_t>(page[i]); }
  uint16_t scale(uint32_t group) const {
    uint16_t half;
    std::memcpy(&half, page + 48 + 2 * group, 2);
    return half;
  }
};

TEST_CASE("q8 pages: a scale is the half nearest to the largest magnitude / 127, a code the nearest integer, ties to even, found by trying all") {
  Random random(0x98);
  for (uint32_t round = 0; round < 60; ++round) {
    const float range = std::ldexp(random.uniform(1, 2), static_cast<int>(random.below(40)) - 20);
    std::vector<float> values(40);
    for (float& value : values) value = random.uniform(-range, range);
    Q8Row row;
    reference::write_k_row(row.place(), values);
    for (uint32_t group = 0; group < 2; ++group) {
      double largest = 0;
      for (uint32_t i = 32 * group; i < std::min(32 * (group + 1), 40u); ++i) largest = std::max(largest, std::abs(double{values[i]}));
      uint16_t best = 0;
      for (uint16_t half = 1; half < 0x7c00; ++half) {
        const double nearer = std::abs(127 * half_value(best) - largest) - std::abs(127 * half_value(half) - largest);
        if (nearer > 0 || (nearer == 0 && half % 2 == 0)) best = half;
      }
      REQUIRE(row.scale(group) == best);
      const double scale = half_value(best);
      for (uint32_t i = 32 * group; i < std::min(32 * (group + 1), 40u); ++i) {
        int nearest = -127;
        for (int code = -126; code <= 127; ++code) {
          const double nearer = std::abs(nearest * scale - double{values[i]}) - std::abs(code * scale - double{values[i]});
          if (nearer > 0 || (nearer == 0 && code % 2 == 0)) nearest = code;
        }
        REQUIRE(row.code(i) == (scale == 0 ? 0 : nearest));
      }
    }
    std::vector<float> back(40);
    reference::read_k_row(row.place(), back);
    for (uint32_t i = 0; i < 40; ++i) REQUIRE(double{back[i]} == half_value(row.scale(i / 32)) * row.code(i));
  }
}

TEST_CASE("q8 pages: zeros have no scale, an infinity the largest one, a NaN shows in its group and nowhere else; V lies behind K") {
  std::vector<float> values(40, 0.0f);
  values[33] = -2.54f;
  Q8Row row;
  reference::write_v_row(row.place(), values);
  std::vector<float> back(40);
  reference::read_v_row(row.place(), back);
  CHECK(back[0] == 0);
  CHECK(std::to_integer<int8_t>(row.page[64 + 33]) == -127);
  CHECK(back[33] == doctest::Approx(-2.54).epsilon(0.001));
  CHECK(row.scale(0) == 0);  // K's, untouched
  values[3] = INFINITY;
  values[39] = NAN;
  reference::write_k_row(row.place(), values);
  CHECK(row.scale(0) == 0x7bff);
  CHECK(row.code(3) == 127);
  CHECK(row.code(4) == 0);
  reference::read_k_row(row.place(), back);
  CHECK(back[3] == 127 * 65504.0f);
  for (uint32_t i = 32; i < 40; ++i) CHECK(std::isnan(back[i]));
  values[3] = -1e30f;
  reference::write_k_row(row.place(), values);
  CHECK(row.scale(0) == 0x7bff);
  CHECK(row.code(3) == -127);
}

TEST_CASE("case_plan: every two values of two dimensions meet, in far fewer cases than the product has") {
  const std::vector<uint32_t> sizes = {5, 9, 7, 4, 5, 2, 3, 1};
  const auto cases = pairwise(sizes);
  for (uint32_t i = 0; i < sizes.size(); ++i)
    for (uint32_t j = i + 1; j < sizes.size(); ++j) {
      std::set<std::pair<uint32_t, uint32_t>> met;
      for (const Choice& choice : cases) met.insert({choice[i], choice[j]});
      CHECK(met.size() == sizes[i] * sizes[j]);
    }
  CHECK(cases.size() < 120);
  CHECK(cases == pairwise(sizes));
  CHECK(whole_product(std::vector<uint32_t>{2, 3, 4}).size() == 24);
  const auto first_two = whole_product_of_first(std::vector<uint32_t>{5, 7, 2, 3, 2}, 2);
  CHECK(first_two.size() == 35);
  std::set<uint32_t> values;
  for (const Choice& choice : first_two) values.insert(choice[3]);
  CHECK(values.size() == 3);
}

TEST_CASE("compare: a write where the reference made none, a missing write, and a NaN are all found") {
  const std::vector<float> expected = {1, kPoisonFloat, 3};
  const ToleranceOf within = [](uint32_t) -> Tolerance { return {0.5, false}; };
  CHECK(differing_floats(expected, std::vector<float>{1.4f, kPoisonFloat, 3}, within).empty());
  CHECK_FALSE(differing_floats(expected, std::vector<float>{1.6f, kPoisonFloat, 3}, within).empty());
  CHECK_FALSE(differing_floats(expected, std::vector<float>{1, 0, 3}, within).empty());
  CHECK_FALSE(differing_floats(expected, std::vector<float>{1, kPoisonFloat, kPoisonFloat}, within).empty());
  CHECK_FALSE(differing_floats(expected, std::vector<float>{1, NAN, 3}, within).empty());
}

}  // namespace
}  // namespace quire::conformance
