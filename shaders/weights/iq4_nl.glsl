// iq4_nl: 32 weights d * codebook[q] with q in 0..15, d f16. Byte i of the codes holds weight i (low nibble) and weight i + 16 (high nibble).
#include "shaders/weights/iq4_codebook.glsl"
#define GROUP_SCALES 1
#define STEP_QUADS 2u

// Step i is word i: its low nibbles, then its high ones.
uint quad_element(uint group, uint step, uint quad) { return 32u * group + 4u * step + 16u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  unpack_codebook(block_word(weights, tile, group, step, row), code);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const float d = block_half(weights, tile, group, row);
  group_scale[0] = GroupScale(256.0 * d, -384.0 * d);
}
