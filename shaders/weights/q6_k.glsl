// q6_k: 256 weights d * s * (q - 32) with q in 0..63, d f16; s is a signed byte for each run of 16.
// Words 0 to 31: low nibbles, sixteen words a half of the block: byte i has weight i (low) and weight i + 64 (high). Words 32 to 47: the high two bits, eight
// words a half, byte i those of weights i, i + 32, i + 64 and i + 96. Words 48 to 51: the runs' scales.
#include "shaders/weights/k_sixteens.glsl"

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  const uint low_tile = words_further(tile, 16u * half_of_block(group) + 4u * odd_runs(group));
  const uint low0 = block_word(weights, low_tile, block_of(group), step, row);
  const uint low1 = block_word(weights, low_tile, block_of(group), step + 8u, row);
  const uint high = block_word(weights, words_further(tile, 8u * half_of_block(group) + 4u * odd_runs(group)), block_of(group), 32u + step, row);
  code[0] = in_mantissa(each_byte(low0 & 0x0f0f0f0fu | high << 4 & 0x30303030u, 17) & 0x007e0000u);
  code[1] = in_mantissa(each_byte(low1 & 0x0f0f0f0fu | high << 2 & 0x30303030u, 17) & 0x007e0000u);
  code[2] = in_mantissa(each_byte(low0 >> 4 & 0x0f0f0f0fu | high & 0x30303030u, 17) & 0x007e0000u);
  code[3] = in_mantissa(each_byte(low1 >> 4 & 0x0f0f0f0fu | high >> 2 & 0x30303030u, 17) & 0x007e0000u);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const float d = block_half(weights, tile, block_of(group), row);
  const vec4 s = vec4(ivec4(run_bytes(weights, tile, group, 48u, row) << 24) >> 24);
  const vec4 scale = 64.0 * d * s;
  [[unroll]] for (uint i = 0u; i < 4u; ++i) group_scale[i] = GroupScale(scale[i], -1.5 * scale[i]);
}
