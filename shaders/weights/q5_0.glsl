// q5_0: 32 weights d * (q - 16) with q in 0..31, d f16. Word 0 holds bit 4 of weight i in bit i; then byte i holds the low bits of weight i (low nibble) and
// of weight i + 16 (high nibble).
#define GROUP_SCALES 1
#define STEP_QUADS 2u

// Step i is word 1 + i: its low nibbles, then its high ones, with four bits each of word 0.
uint quad_element(uint group, uint step, uint quad) { return 32u * group + 4u * step + 16u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  const uint nibbles = block_word(weights, tile, group, 1u + step, row);
  const uint high = block_word(weights, tile, group, 0u, row) >> (4u * step);
  code[0] = in_mantissa(each_byte(nibbles & 0x0f0f0f0fu | bits_to_bytes(high) << 4, 18) & 0x007c0000u);
  code[1] = in_mantissa(each_byte(nibbles >> 4 & 0x0f0f0f0fu | bits_to_bytes(high >> 16) << 4, 18) & 0x007c0000u);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const float d = block_half(weights, tile, group, row);
  group_scale[0] = GroupScale(32.0 * d, -48.0 * d);
}
