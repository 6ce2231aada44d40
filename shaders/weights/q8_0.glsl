// q8_0: 32 weights d * q with q a signed byte and d f16.
// A byte becomes a float without a conversion: with its sign bit flipped it is q + 128, which as the top of the mantissa of a number in [1, 2)
// is 1 + (q + 128) / 256 = 1.5 + q / 256.
#define GROUP_ELEMENTS 32
#define GROUP_AFFINE 1
#include "shaders/weights/group.glsl"

const WeightBlock kWeightBlock = WeightBlock(WEIGHT_Q8_0_ELEMENTS, WEIGHT_Q8_0_CODE_DWORDS, WEIGHT_Q8_0_SCALES, WEIGHT_Q8_0_CODE_OFFSET);

WeightGroup unpack_group(WordsIn weights, uint tile, uint row_blocks, uint group, uint lane) {
  WeightGroup result;
  const uint word = tile + weight_code_dword(kWeightBlock, LANES, group, 0u, lane);
  [[unroll]] for (uint i = 0u; i < 8u; ++i) {
    const uint codes = weights.at[word + i * LANES] ^ 0x80808080u;
    result.code[i] = uintBitsToFloat(uvec4(codes << 15, codes << 7, codes >> 1, codes >> 9) & 0x007f8000u | 0x3f800000u);
  }
  const vec2 pair = unpackHalf2x16(weights.at[tile + weight_scale_dword(kWeightBlock, LANES, row_blocks, group, lane)]);
  result.scale = 256.0 * ((group & 1u) == 0u ? pair.x : pair.y);
  result.offset = -1.5 * result.scale;
  return result;
}
