// f32: four weights a block, one a word.
#define GROUP_ELEMENTS 4
#define GROUP_AFFINE 0
#include "shaders/weights/group.glsl"

const WeightBlock kWeightBlock = WeightBlock(WEIGHT_F32_ELEMENTS, WEIGHT_F32_CODE_DWORDS, WEIGHT_F32_SCALES, WEIGHT_F32_CODE_OFFSET);

WeightGroup unpack_group(WordsIn weights, uint tile, uint row_blocks, uint group, uint lane) {
  WeightGroup result;
  const uint word = tile + weight_code_dword(kWeightBlock, LANES, group, 0u, lane);
  [[unroll]] for (uint i = 0u; i < 4u; ++i) result.code[0][i] = uintBitsToFloat(weights.at[word + i * LANES]);
  result.scale = 1.0;
  result.offset = 0.0;
  return result;
}
