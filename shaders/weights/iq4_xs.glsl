// iq4_xs: 256 weights d * (s - 32) * codebook[q] with q in 0..15, d f16; s has six bits for each run of 32.
// The second 16-bit value: the high two bits of s, run 0's lowest. Word 0: the low four bits, likewise. Words 1 to 32: codes, four words a run: byte i has
// weight i (low nibble) and weight i + 16 (high nibble).
#include "shaders/weights/iq4_codebook.glsl"
#define GROUP_SCALES 1
#define STEP_QUADS 2u

// Step i is word i of the run: its low nibbles, then its high ones.
uint quad_element(uint group, uint step, uint quad) { return 32u * group + 4u * step + 16u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  unpack_codebook(block_word(weights, words_further(tile, 4u * (group & 7u)), group / 8u, 1u + step, row), code);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const uint run = group & 7u;
  const uint halves = block_half_pair(weights, tile, group / 8u, row);
  const uint low = block_word(weights, tile, group / 8u, 0u, row) >> (4u * run);
  const uint s = low & 15u | halves >> (16u + 2u * run) << 4 & 48u;
  const float scale = 256.0 * unpackHalf2x16(halves).x * (float(s) - 32.0);
  group_scale[0] = GroupScale(scale, -1.5 * scale);
}
