/* The weights of sampling: exp(-z) in integers, so that every device, and the host, draws the same token from the same logits.
 *
 * A weight is a 64-bit number of units of 2^-40; sums of up to SAMPLING_ROW_LIMIT weights fit 64 bits, and their order changes nothing.
 *   |weight * 2^-40 - exp(-z)| <= 2^-28 exp(-z) + 2^-40   for every float z >= 0 (tests/conformance/sample_test.cpp)
 * z itself is rounded twice, by one subtraction and one multiplication of floats, which Vulkan rounds correctly. */
#ifndef QUIRE_SAMPLING_WEIGHT_H
#define QUIRE_SAMPLING_WEIGHT_H

#include "shaders/interface/shared_types.h"

#ifdef __cplusplus
#define PRECISE
namespace quire {
#else
#define PRECISE precise
#endif

#define SAMPLING_ROW_LIMIT 0x800000u /* logits of a row: 2^23 weights of at most 2^40 */

/* 64 bits in two words. */
struct Wide {
  uint32 low;
  uint32 high;
};

SHARED_FN uint32 high_product(uint32 a, uint32 b) {
#ifdef __cplusplus
  return uint32((uint64_t(a) * b) >> 32);
#else
  uint high, low;
  umulExtended(a, b, high, low);
  return high;
#endif
}

SHARED_FN bool wide_less(Wide a, Wide b) { return a.high < b.high || (a.high == b.high && a.low < b.low); }

SHARED_FN Wide wide_sum(Wide a, Wide b) {
  Wide sum;
  sum.low = a.low + b.low;
  sum.high = a.high + b.high + (sum.low < a.low ? 1u : 0u);
  return sum;
}

/* Requires: a >= b. */
SHARED_FN Wide wide_difference(Wide a, Wide b) {
  Wide difference;
  difference.low = a.low - b.low;
  difference.high = a.high - b.high - (a.low < b.low ? 1u : 0u);
  return difference;
}

/* value * fraction / 2^64, rounded down, plus `above`; `above` 2 stands for rounding up. The last is what a beginning has to reach to hold at
 * least the fraction, rounding down plus 1 what it has to reach to exceed it. */
#define FRACTION_EXCEEDED 1u
#define FRACTION_REACHED 2u
SHARED_FN Wide wide_fraction(Wide value, Wide fraction, uint32 above) {
  const uint32 lowest = value.low * fraction.low;
  Wide middle; /* of weight 2^32: three terms, and what they carry */
  middle.low = high_product(value.low, fraction.low);
  middle.high = 0u;
  Wide cross;
  cross.low = value.low * fraction.high;
  cross.high = high_product(value.low, fraction.high);
  middle = wide_sum(middle, cross);
  cross.low = value.high * fraction.low;
  cross.high = high_product(value.high, fraction.low);
  Wide top;
  top.low = value.high * fraction.high;
  top.high = high_product(value.high, fraction.high);
  const Wide both = wide_sum(middle, cross);
  Wide part;
  part.low = both.high;
  part.high = wide_less(both, middle) ? 1u : 0u;
  part = wide_sum(part, top);
  const bool rounded = lowest != 0u || both.low != 0u;
  Wide one;
  one.low = above == FRACTION_EXCEEDED || rounded ? 1u : 0u;
  one.high = 0u;
  return wide_sum(part, one);
}

/* Half of what a logit is below the largest: halves, because the difference itself may exceed a float. Differences so small that a device that
 * flushes denormals would see other ones are none. */
SHARED_FN float half_distance(float largest, float logit) {
  PRECISE float distance = 0.5f * largest - 0.5f * logit;
  return distance < 7.8886091e-31f ? 0.0f : distance; /* 2^-100 */
}

/* 2^40 exp(-z) for the float z >= 0 with these bits; 0 for infinity and NaN. z log2(e) = n + f with 32 bits of fraction, then 2^-f by a
 * polynomial of degree 7 (interpolated at Chebyshev nodes; error 2^-33). */
SHARED_FN Wide sampling_weight(uint32 z_bits) {
  const uint32 exponent = z_bits >> 23; /* z = mantissa * 2^(exponent - 158) */
  const uint32 mantissa = ((z_bits & 0x7fffffu) | 0x800000u) << 8;
  /* log2(e) * 2^63 in two words. */
  Wide scaled;
  scaled.low = mantissa * 0xb8aa3b29u;
  scaled.high = high_product(mantissa, 0xb8aa3b29u);
  Wide rest;
  rest.low = high_product(mantissa, 0x5c17f0bcu);
  rest.high = 0u;
  scaled = wide_sum(scaled, rest);
  /* n.f = scaled * 2^-shift. Shifts are taken modulo 32 and chosen afterwards: no branches. */
  const uint32 shift = 157u - exponent;
  const bool below_half = shift >= 32u;
  const uint32 n = below_half ? 0u : scaled.high >> (shift & 31u);
  const uint32 f = below_half ? (shift >= 64u ? 0u : scaled.high >> (shift & 31u))
                              : (scaled.high << ((32u - shift) & 31u)) | (scaled.low >> (shift & 31u));
  /* (1 - 2^-f) / f; the coefficient of f^k has 32 + 2k bits after the point. */
  uint32 p = 0x0bda5a38u;
  p = 0x2707ff8du - (high_product(p, f) >> 2);
  p = 0x5728b04du - (high_product(p, f) >> 2);
  p = 0x9d906a32u - (high_product(p, f) >> 2);
  p = 0xe358126eu - (high_product(p, f) >> 2);
  p = 0xf5fdef2cu - (high_product(p, f) >> 2);
  p = 0xb17217f7u - (high_product(p, f) >> 2);
  const uint32 power = 0x80000000u - (high_product(p, f) >> 1); /* 2^31 * 2^-f */
  Wide weight; /* power * 2^(9 - n) */
  weight.low = n > 40u || exponent >= 132u ? 0u : n > 9u ? power >> ((n - 9u) & 31u) : power << ((9u - n) & 31u);
  weight.high = n >= 9u || exponent >= 132u ? 0u : power >> ((23u + n) & 31u);
  return weight;
}

#ifdef __cplusplus
}  // namespace quire
#endif
#endif
