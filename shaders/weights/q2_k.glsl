// q2_k: 256 weights d * s * q - dmin * m with q in 0..3, d and dmin f16; each run of 16 has a byte with s (low nibble) and m (high nibble).
// Words 0 to 3: the runs' bytes. Words 4 to 19: codes, eight words a half of the block, four weights a byte.
#include "shaders/weights/k_sixteens.glsl"

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  const uint word = block_word(weights, words_further(tile, 4u * (group & 3u)), block_of(group), 4u + step, row);
  [[unroll]] for (int quad = 0; quad < 4; ++quad) code[quad] = in_mantissa(each_byte(word, 21 - 2 * quad) & 0x00600000u);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const vec2 d = unpackHalf2x16(block_half_pair(weights, tile, block_of(group), row));
  const uvec4 s_m = run_bytes(weights, tile, group, 0u, row);
  const vec4 scale = 4.0 * d.x * vec4(s_m & 15u);
  const vec4 minimum = d.y * vec4(s_m >> 4 & 15u);
  [[unroll]] for (uint i = 0u; i < 4u; ++i) group_scale[i] = GroupScale(scale[i], -scale[i] - minimum[i]);
}
