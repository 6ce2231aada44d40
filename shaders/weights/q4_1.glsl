// q4_1: 32 weights d * q + m with q in 0..15, d and m f16. Byte i of the codes holds weight i (low nibble) and weight i + 16 (high nibble).
// A nibble becomes a float without a conversion: as the top bits of the mantissa of a number in [1, 2) it is 1 + q / 16.
#define GROUP_ELEMENTS 32
#define GROUP_AFFINE 1
#include "shaders/weights/group.glsl"

const WeightBlock kWeightBlock = WeightBlock(WEIGHT_Q4_1_ELEMENTS, WEIGHT_Q4_1_CODE_DWORDS, WEIGHT_Q4_1_SCALES, WEIGHT_Q4_1_CODE_OFFSET);

// The four nibbles of `word` at bits 0, 8, 16 and 24 as 1 + q / 16.
vec4 low_nibbles(uint word) { return uintBitsToFloat(uvec4(word << 19, word << 11, word << 3, word >> 5) & 0x00780000u | 0x3f800000u); }
// The same at bits 4, 12, 20 and 28.
vec4 high_nibbles(uint word) { return uintBitsToFloat(uvec4(word << 15, word << 7, word >> 1, word >> 9) & 0x00780000u | 0x3f800000u); }

WeightGroup unpack_group(WordsIn weights, uint tile, uint row_blocks, uint group, uint lane) {
  WeightGroup result;
  const uint word = tile + weight_code_dword(kWeightBlock, LANES, group, 0u, lane);
  [[unroll]] for (uint i = 0u; i < 4u; ++i) {
    const uint codes = weights.at[word + i * LANES];
    result.code[i] = low_nibbles(codes);
    result.code[i + 4u] = high_nibbles(codes);
  }
  const vec2 d_m = unpackHalf2x16(weights.at[tile + weight_scale_dword(kWeightBlock, LANES, row_blocks, 2u * group, lane)]);
  result.scale = 16.0 * d_m.x;
  result.offset = d_m.y - result.scale;
  return result;
}
