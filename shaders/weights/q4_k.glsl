// q4_k: 256 weights d * s * q - dmin * m with q in 0..15 (k_eights.glsl).
// Words 3 to 34: codes, eight words a group: byte i has weight i (low nibble) and weight i + 32 (high nibble).
#include "shaders/weights/k_eights.glsl"

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  const uint word = block_word(weights, words_further(tile, 8u * (group & 3u)), block_of(group), 3u + step, row);
  code[0] = in_mantissa(each_byte(word, 19) & 0x00780000u);
  code[1] = in_mantissa(each_byte(word, 15) & 0x00780000u);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const vec2 d = unpackHalf2x16(block_half_pair(weights, tile, block_of(group), row));
  const vec4 s_m = run_scales(weights, tile, group, row);
  const vec2 scale = 16.0 * d.x * s_m.xy;
  const vec2 minimum = d.y * s_m.zw;
  [[unroll]] for (uint i = 0u; i < 2u; ++i) group_scale[i] = GroupScale(scale[i], -scale[i] - minimum[i]);
}
