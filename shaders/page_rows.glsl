// Rows of K and V in pages: how neighbouring elements of each format are read, and how they are written.
#ifndef QUIRE_PAGE_ROWS_GLSL
#define QUIRE_PAGE_ROWS_GLSL

#extension GL_EXT_shader_16bit_storage : require
#include "shaders/common.glsl"
#include "shaders/q8_code.glsl"

layout(buffer_reference, std430, buffer_reference_align = 2) MEMORY readonly buffer HalvesIn { uint16_t at[]; };
layout(buffer_reference, std430, buffer_reference_align = 2) MEMORY buffer Halves { uint16_t at[]; };

// The signed bytes of a word, lowest first.
vec4 signed_bytes(uint word) { return vec4(ivec4(int(word) << 24, int(word) << 16, int(word) << 8, int(word)) >> 24); }

// The rows of one head of K or of V in a page, by slot: byte offsets from the page's start of slot 0's codes and scales, and how far rows are apart.
struct PageRows {
  Bytes page;
  uint format;
  uint codes;
  uint scales;
  uint row_code_bytes;
  uint row_scale_bytes;
};

PageRows k_rows(PageEntry entry, PageShape shape, uint layer, uint head) {
  const uint format = page_k_format(entry.formats);
  return PageRows(entry.page, format, page_k_codes(shape, entry.formats, layer, head, 0u), page_k_scales(shape, entry.formats, layer, head, 0u),
                  page_row_code_bytes(format, shape.k_dim), page_row_scale_bytes(format, shape.k_dim));
}

PageRows v_rows(PageEntry entry, PageShape shape, uint layer, uint head) {
  const uint format = page_v_format(entry.formats);
  return PageRows(entry.page, format, page_v_codes(shape, entry.formats, layer, head, 0u), page_v_scales(shape, entry.formats, layer, head, 0u),
                  page_row_code_bytes(format, shape.v_dim), page_row_scale_bytes(format, shape.v_dim));
}

float load_scale(PageRows rows, uint slot, uint group) {
  return unpackHalf2x16(uint(HalvesIn(rows.page).at[(rows.scales + slot * rows.row_scale_bytes) / 2u + group])).x;
}

// Elements [8 * eighth, 8 * eighth + 8) of the slot's row. Requires: format is rows.format; a constant keeps the choice out of loops.
void load8(PageRows rows, uint format, uint slot, uint eighth, out vec4 low, out vec4 high) {
  const uint codes = rows.codes + slot * rows.row_code_bytes;
  if (format == PAGE_FORMAT_F32) {
    const uint at = codes / 16u + 2u * eighth;
    low = Floats4In(rows.page).at[at];
    high = Floats4In(rows.page).at[at + 1u];
  } else if (format == PAGE_FORMAT_Q8) {
    const uvec2 words = Words2In(rows.page).at[codes / 8u + eighth];
    const float scale = load_scale(rows, slot, eighth / (PAGE_GROUP / 8u));
    low = scale * signed_bytes(words.x);
    high = scale * signed_bytes(words.y);
  } else {
    const uvec4 words = Words4In(rows.page).at[codes / 16u + eighth];
    low = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
    high = vec4(unpackHalf2x16(words.z), unpackHalf2x16(words.w));
  }
}

// Elements 2 * pair and 2 * pair + 1.
vec2 load2(PageRows rows, uint format, uint slot, uint pair) {
  const uint codes = rows.codes + slot * rows.row_code_bytes;
  if (format == PAGE_FORMAT_F32) return uintBitsToFloat(Words2In(rows.page).at[codes / 8u + pair]);
  if (format == PAGE_FORMAT_Q8) {
    const int word = int(uint(HalvesIn(rows.page).at[codes / 2u + pair]));
    return load_scale(rows, slot, pair / (PAGE_GROUP / 2u)) * vec2(ivec2(word << 24, word << 16) >> 24);
  }
  return unpackHalf2x16(WordsIn(rows.page).at[codes / 4u + pair]);
}

#ifdef SUBGROUP_BROADCAST
// Where the lanes load a row's pairs together: the address of the first one's codes, and of the scales from its group on.
struct PairsOfLanes {
  uvec2 codes;
  uvec2 scales;
};

PairsOfLanes pairs_of_lanes(PageRows rows, uint format, uint slot, uint pair) {
  const uvec2 page = uvec2(rows.page);
  const uint pair_bytes = format == PAGE_FORMAT_F32 ? 8u : format == PAGE_FORMAT_Q8 ? 2u : 4u;
  return PairsOfLanes(address_after(page, rows.codes + slot * rows.row_code_bytes + pair * pair_bytes),
                      address_after(page, rows.scales + slot * rows.row_scale_bytes + pair / (PAGE_GROUP / 2u) * 2u));
}

// Of a row of `dim` elements, `row` rows after the one of `pairs`: the elements of the pair `after` + lane behind its first pair, in the first `lanes`;
// zeros in the others. Constants cost no address of their own. Requires: the first pair and `after` are multiples of `lanes`, a constant that divides
// PAGE_GROUP / 2 and is at least 4; and the pair `after` behind the first is as many groups of PAGE_GROUP further as if the first began one.
vec2 load2_of_lanes(PairsOfLanes pairs, uint format, const uint dim, const uint row, const uint after, const uint lanes) {
  uvec2 words = uvec2(0u);
  const uint first = row * (dim / 2u) + after;
  [[unroll]] for (uint lane = 0u; lane < lanes; ++lane) {
    const bvec2 own = bvec2(gl_SubgroupInvocationID == lane);
    uvec2 of_lane = uvec2(0u);
    if (format == PAGE_FORMAT_F32) of_lane = Words2In(pairs.codes).at[first + lane];
    else if (format == PAGE_FORMAT_Q8) of_lane.x = WordsIn(pairs.codes).at[(first + lane) / 2u];
    else of_lane.x = WordsIn(pairs.codes).at[first + lane];
    words = mix(words, of_lane, own);
  }
  if (format == PAGE_FORMAT_F32) return uintBitsToFloat(words);
  if (format == PAGE_FORMAT_Q8) {
    const uint scale = row * (page_row_scale_bytes(format, dim) / 2u) + after / (PAGE_GROUP / 2u);
    const int upper = int(words.x << (16u - gl_SubgroupInvocationID % 2u * 16u));  // a word has the codes of two pairs
    return unpackHalf2x16(uint(HalvesIn(pairs.scales).at[scale])).x * vec2(ivec2(upper << 8, upper) >> 24);
  }
  return unpackHalf2x16(words.x);
}
#endif

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

// The scale of a q8 group: the f16 nearest to largest / 127, ties to even, from the bits of the largest magnitude. A NaN becomes NaN and shows in the
// whole group; an infinity becomes the largest f16. In integers, because devices may round a division another way.
uint q8_scale(uint largest) {
  if (largest > 0x7f800000u) return 0x7e00u;
  const uint exponent = largest >> 23;
  if (exponent < 100u) return 0u;       // below 2^-26: far less than half of the smallest f16
  if (exponent > 150u) return 0x7bffu;  // 2^24 and more
  const uint significand = ((largest & 0x007fffffu) | 0x00800000u) << 6;
  const uint quotient = significand / 127u;
  // 23 or 24 bits, the lowest one set if there was a remainder: no midpoint of two f16 has it, so that rounding once more rounds rightly.
  const uint sticky = quotient | (quotient * 127u != significand ? 1u : 0u);
  return float_to_half(uintBitsToFloat(floatBitsToUint(float(sticky)) + ((exponent - 156u) << 23)));
}

// Requires: no q8 page, where elements are written a group at a time.
void store2(PageRows rows, uint slot, uint pair, vec2 values) {
  const uint codes = rows.codes + slot * rows.row_code_bytes;
  if (rows.format == PAGE_FORMAT_F32) {
    Floats(rows.page).at[codes / 4u + 2u * pair] = values.x;
    Floats(rows.page).at[codes / 4u + 2u * pair + 1u] = values.y;
  } else {
    Words(rows.page).at[codes / 4u + pair] = float_to_half(values.x) | float_to_half(values.y) << 16;
  }
}

#endif
