// q5_k: 256 weights d * s * q - dmin * m with q in 0..31 (k_eights.glsl).
// Words 3 to 10: bit 4 of q; byte i has those of weights i, i + 32, ... from its bit 0 on. Words 11 to 42: the low bits, eight words a group: byte i has
// weight i (low nibble) and weight i + 32 (high nibble).
#include "shaders/weights/k_eights.glsl"

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  const uint nibbles = block_word(weights, words_further(tile, 8u * (group & 3u)), block_of(group), 11u + step, row);
  const uint high = block_word(weights, tile, block_of(group), 3u + step, row) >> (2u * (group & 3u));
  code[0] = in_mantissa(each_byte(nibbles & 0x0f0f0f0fu | high << 4 & 0x10101010u, 18) & 0x007c0000u);
  code[1] = in_mantissa(each_byte(nibbles >> 4 & 0x0f0f0f0fu | high << 3 & 0x10101010u, 18) & 0x007c0000u);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const vec2 d = unpackHalf2x16(block_half_pair(weights, tile, block_of(group), row));
  const vec4 s_m = run_scales(weights, tile, group, row);
  const vec2 scale = 32.0 * d.x * s_m.xy;
  const vec2 minimum = d.y * s_m.zw;
  [[unroll]] for (uint i = 0u; i < 2u; ++i) group_scale[i] = GroupScale(scale[i], -scale[i] - minimum[i]);
}
