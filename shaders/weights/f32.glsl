// f32: four weights a block, one a word.
#define GROUP_ELEMENTS 4u
#define STEP_QUADS 1u
#define GROUP_AFFINE 0

const WeightBlock kWeightBlock = WeightBlock(WEIGHT_F32_ELEMENTS, WEIGHT_F32_CODE_DWORDS, WEIGHT_F32_SCALES, WEIGHT_F32_CODE_OFFSET);

uint quad_element(uint step, uint quad) { return 0u; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, uint lane, out vec4 code[STEP_QUADS]) {
  const uint word = tile + weight_code_dword(kWeightBlock, TILE_ROWS, group, 0u, lane);
  [[unroll]] for (uint i = 0u; i < 4u; ++i) code[0][i] = uintBitsToFloat(weights.at[word + i * TILE_ROWS]);
}
