// f16: eight weights a block, two a word.
#define GROUP_ELEMENTS 8u
#define STEP_QUADS 2u
#define GROUP_AFFINE 0

const WeightBlock kWeightBlock = WeightBlock(WEIGHT_F16_ELEMENTS, WEIGHT_F16_CODE_DWORDS, WEIGHT_F16_SCALES, WEIGHT_F16_CODE_OFFSET);

uint quad_element(uint step, uint quad) { return 4u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, uint lane, out vec4 code[STEP_QUADS]) {
  const uint word = tile + weight_code_dword(kWeightBlock, TILE_ROWS, group, 0u, lane);
  [[unroll]] for (uint i = 0u; i < 2u; ++i)
    code[i] = vec4(unpackHalf2x16(weights.at[word + 2u * i * TILE_ROWS]), unpackHalf2x16(weights.at[word + (2u * i + 1u) * TILE_ROWS]));
}
