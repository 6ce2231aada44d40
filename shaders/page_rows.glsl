// Rows of K and V in pages: how eight or two neighbouring elements of each format are read, and how two are written.
#ifndef QUIRE_PAGE_ROWS_GLSL
#define QUIRE_PAGE_ROWS_GLSL

#include "shaders/common.glsl"

// Eight elements that start at byte `offset` (a multiple of 16) of the page; `eighth` counts eights from there.
void load8(uvec2 page, uint format, uint offset, uint eighth, out vec4 low, out vec4 high) {
  if (format == PAGE_FORMAT_F32) {
    const uint at = offset / 16u + 2u * eighth;
    low = Floats4In(page).at[at];
    high = Floats4In(page).at[at + 1u];
  } else {
    const uvec4 words = Words4In(page).at[offset / 16u + eighth];
    low = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
    high = vec4(unpackHalf2x16(words.z), unpackHalf2x16(words.w));
  }
}

vec2 load2(uvec2 page, uint format, uint offset, uint pair) {
  if (format == PAGE_FORMAT_F32) return uintBitsToFloat(Words2In(page).at[offset / 8u + pair]);
  return unpackHalf2x16(WordsIn(page).at[offset / 4u + pair]);
}

// The f16 nearest to x, ties to even, as IEEE 754 converts; packHalf2x16 may round another way. Numbers beyond the range become the largest f16:
// an infinity in a page would turn the sums of every query that gives it weight 0 into NaN.
uint float_to_half(float x) {
  const uint bits = floatBitsToUint(x);
  const uint sign = (bits >> 16) & 0x8000u;
  const uint magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7bffu;  // would round to 65536 or more
  if (magnitude < 0x33000001u) return sign;             // at most half of the smallest subnormal
  // Subnormal results shift further, so that their lowest bit weighs 2^-24.
  const uint exponent = magnitude >> 23;
  const uint shift = exponent >= 113u ? 13u : 126u - exponent;
  const uint significand = exponent >= 113u ? magnitude - (112u << 23) : (magnitude & 0x007fffffu) | 0x00800000u;
  const uint lower = significand & ((1u << shift) - 1u);
  const uint half_unit = 1u << (shift - 1u);
  const uint result = significand >> shift;
  const bool up = lower > half_unit || (lower == half_unit && (result & 1u) == 1u);
  return sign | (result + (up ? 1u : 0u));
}

void store2(uvec2 page, uint format, uint offset, uint pair, vec2 values) {
  if (format == PAGE_FORMAT_F32) {
    Floats(page).at[offset / 4u + 2u * pair] = values.x;
    Floats(page).at[offset / 4u + 2u * pair + 1u] = values.y;
  } else {
    Words(page).at[offset / 4u + pair] = float_to_half(values.x) | float_to_half(values.y) << 16;
  }
}

#endif
