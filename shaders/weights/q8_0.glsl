// q8_0: 32 weights d * q with q a signed byte and d f16. With its sign bit flipped a byte is q + 128, so in the mantissa 1.5 + q / 256.
#define GROUP_SCALES 1
#define STEP_QUADS 2u

uint quad_element(uint group, uint step, uint quad) { return 32u * group + 8u * step + 4u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  [[unroll]] for (uint quad = 0u; quad < STEP_QUADS; ++quad)
    code[quad] = in_mantissa(each_byte(block_word(weights, tile, group, 2u * step + quad, row) ^ 0x80808080u, 15) & 0x007f8000u);
}

void unpack_scales(WordsIn weights, uint tile, uint group, RowAt row, out GroupScale group_scale[GROUP_SCALES]) {
  const float d = block_half(weights, tile, group, row);
  group_scale[0] = GroupScale(256.0 * d, -384.0 * d);
}
