// IEEE 754 binary16 to and from binary32 in plain integer arithmetic: the same bits on every machine, whatever its hardware offers.
#pragma once

#include <bit>
#include <cstdint>

namespace quire {

/// Exact: every half is a float. A NaN keeps its sign and payload.
constexpr float half_to_float(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = (half >> 10) & 31u;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  if (mantissa == 0) return std::bit_cast<float>(sign);
  // A denormal is mantissa * 2^-24; its highest set bit becomes the implicit one.
  const uint32_t high_bit = 31u - static_cast<uint32_t>(std::countl_zero(mantissa));
  return std::bit_cast<float>(sign | (high_bit + 103) << 23 | ((mantissa << (23 - high_bit)) & 0x7fffffu));
}

/// Rounds to nearest, ties to even; beyond the largest half to infinity. A NaN stays a NaN and keeps the payload's upper bits.
constexpr uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    const uint32_t payload = (magnitude >> 13) & 0x3ffu;
    return static_cast<uint16_t>(sign | 0x7c00u | (payload != 0 ? payload : 0x200u));
  }
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more
  const uint32_t exponent = magnitude >> 23;
  if (exponent < 102) return static_cast<uint16_t>(sign);  // below 2^-25: rounds to zero
  // Keep 10 mantissa bits of a normal half, fewer of a denormal one (exponent below 113); `dropped` bits decide the rounding.
  const uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
  const uint32_t dropped = exponent >= 113 ? 13 : 126 - exponent;
  const uint32_t kept = significand >> dropped;
  const uint32_t rest = significand & ((1u << dropped) - 1);
  const uint32_t tie = 1u << (dropped - 1);
  const uint32_t rounded = kept + ((rest > tie || (rest == tie && (kept & 1u) != 0)) ? 1 : 0);
  // The implicit bit, and a carry out of the mantissa, both add one to the exponent field.
  const uint32_t base = exponent >= 113 ? (exponent - 113) << 10 : 0;
  return static_cast<uint16_t>(sign | (base + rounded));
}

}  // namespace quire
