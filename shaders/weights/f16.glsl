// f16: eight weights a block, two a word.
#define GROUP_ELEMENTS 8
#define GROUP_AFFINE 0
#include "shaders/weights/group.glsl"

const WeightBlock kWeightBlock = WeightBlock(WEIGHT_F16_ELEMENTS, WEIGHT_F16_CODE_DWORDS, WEIGHT_F16_SCALES, WEIGHT_F16_CODE_OFFSET);

WeightGroup unpack_group(WordsIn weights, uint tile, uint row_blocks, uint group, uint lane) {
  WeightGroup result;
  const uint word = tile + weight_code_dword(kWeightBlock, LANES, group, 0u, lane);
  [[unroll]] for (uint i = 0u; i < 2u; ++i)
    result.code[i] = vec4(unpackHalf2x16(weights.at[word + 2u * i * LANES]), unpackHalf2x16(weights.at[word + (2u * i + 1u) * LANES]));
  result.scale = 1.0;
  result.offset = 0.0;
  return result;
}
