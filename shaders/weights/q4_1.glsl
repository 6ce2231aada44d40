// q4_1: 32 weights d * q + m with q in 0..15, d and m f16. Byte i of the codes holds weight i (low nibble) and weight i + 16 (high nibble).
// A nibble becomes a float without a conversion: as the top bits of the mantissa of a number in [1, 2) it is 1 + q / 16.
#define GROUP_ELEMENTS 32u
#define STEP_QUADS 2u
#define GROUP_AFFINE 1

const WeightBlock kWeightBlock = WeightBlock(WEIGHT_Q4_1_ELEMENTS, WEIGHT_Q4_1_CODE_DWORDS, WEIGHT_Q4_1_SCALES, WEIGHT_Q4_1_CODE_OFFSET);

// Step i is word i: its low nibbles, then its high ones.
uint quad_element(uint step, uint quad) { return 4u * step + 16u * quad; }

vec4 in_mantissa(uvec4 nibbles) { return uintBitsToFloat(nibbles & 0x00780000u | 0x3f800000u); }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, uint lane, out vec4 code[STEP_QUADS]) {
  const uint word = weights.at[tile + weight_code_dword(kWeightBlock, TILE_ROWS, group, step, lane)];
  code[0] = in_mantissa(uvec4(word << 19, word << 11, word << 3, word >> 5));
  code[1] = in_mantissa(uvec4(word << 15, word << 7, word >> 1, word >> 9));
}

GroupScale unpack_scale(WordsIn weights, uint tile, uint row_blocks, uint group, uint lane) {
  const vec2 d_m = unpackHalf2x16(weights.at[tile + weight_scale_dword(kWeightBlock, TILE_ROWS, row_blocks, 2u * group, lane)]);
  return GroupScale(16.0 * d_m.x, d_m.y - 16.0 * d_m.x);
}
