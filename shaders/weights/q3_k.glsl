// q3_k: 256 weights d * (s - 32) * (q - 4) with q in 0..7, d f16; s has six bits for each run of 16.
// Words 0 to 7: bit 2 of q; byte i has those of weights i, i + 32, ... from its bit 0 on. Words 8 to 23: the low bits, eight words a half of the block,
// four weights a byte. Words 24 to 26: byte i has the low four bits of s of run i and, above, of run i + 8; bytes 8 to 11 have the high two bits, byte
// 8 + i those of runs i, i + 4, i + 8 and i + 12.
#include "shaders/weights/k_sixteens.glsl"

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  const uint low = block_word(weights, words_further(tile, 4u * (group & 3u)), block_of(group), 8u + step, row);
  const uint high = block_word(weights, words_further(tile, 4u * odd_runs(group)), block_of(group), step, row) >> (4u * half_of_block(group));
  [[unroll]] for (int quad = 0; quad < 4; ++quad)
    code[quad] = in_mantissa(each_byte(low >> (2 * quad) & 0x03030303u | moved_left(high, 2 - quad) & 0x04040404u, 20) & 0x00700000u);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const float d = block_half(weights, tile, block_of(group), row);
  const uint odd = 8u * odd_runs(group);
  const uint second = half_of_block(group);
  const uint low0 = block_word(weights, tile, block_of(group), 24u, row) >> (odd + 4u * second);
  const uint low1 = block_word(weights, tile, block_of(group), 25u, row) >> (odd + 4u * second);
  const uint high = block_word(weights, tile, block_of(group), 26u, row) >> (odd + 4u * second);
  const uvec4 s = uvec4(low0, low0 >> 16, low1, low1 >> 16) & 15u | uvec4(high << 4, high >> 12, high << 2, high >> 14) & 48u;
  const vec4 scale = 8.0 * d * (vec4(s) - 32.0);
  [[unroll]] for (uint i = 0u; i < 4u; ++i) group_scale[i] = GroupScale(scale[i], -1.5 * scale[i]);
}
