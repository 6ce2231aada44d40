// q4_1: 32 weights d * q + m with q in 0..15, d and m f16. Byte i of the codes holds weight i (low nibble) and weight i + 16 (high nibble).
#define GROUP_SCALES 1
#define STEP_QUADS 2u

// Step i is word i: its low nibbles, then its high ones.
uint quad_element(uint group, uint step, uint quad) { return 32u * group + 4u * step + 16u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  const uint word = block_word(weights, tile, group, step, row);
  code[0] = in_mantissa(each_byte(word, 19) & 0x00780000u);
  code[1] = in_mantissa(each_byte(word, 15) & 0x00780000u);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const vec2 d_m = unpackHalf2x16(block_half_pair(weights, tile, group, row));
  group_scale[0] = GroupScale(16.0 * d_m.x, d_m.y - 16.0 * d_m.x);
}
