// q8_0: 32 weights d * q with q a signed byte and d f16.
// A byte becomes a float without a conversion: with its sign bit flipped it is q + 128, which as the top of the mantissa of a number in [1, 2)
// is 1 + (q + 128) / 256 = 1.5 + q / 256.
#define GROUP_ELEMENTS 32u
#define STEP_QUADS 2u
#define GROUP_AFFINE 1

const WeightBlock kWeightBlock = WeightBlock(WEIGHT_Q8_0_ELEMENTS, WEIGHT_Q8_0_CODE_DWORDS, WEIGHT_Q8_0_SCALES, WEIGHT_Q8_0_CODE_OFFSET);

uint quad_element(uint step, uint quad) { return 8u * step + 4u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, uint lane, out vec4 code[STEP_QUADS]) {
  [[unroll]] for (uint quad = 0u; quad < STEP_QUADS; ++quad) {
    const uint word = weights.at[tile + weight_code_dword(kWeightBlock, TILE_ROWS, group, 2u * step + quad, lane)] ^ 0x80808080u;
    code[quad] = uintBitsToFloat(uvec4(word << 15, word << 7, word >> 1, word >> 9) & 0x007f8000u | 0x3f800000u);
  }
}

GroupScale unpack_scale(WordsIn weights, uint tile, uint row_blocks, uint group, uint lane) {
  const vec2 pair = unpackHalf2x16(weights.at[tile + weight_scale_dword(kWeightBlock, TILE_ROWS, row_blocks, group, lane)]);
  const float d = (group & 1u) == 0u ? pair.x : pair.y;
  return GroupScale(256.0 * d, -384.0 * d);
}
