// bf16: eight weights a block, two a word; a weight is the upper half of a float.
#define GROUP_SCALES 0
#define STEP_QUADS 2u

uint quad_element(uint group, uint step, uint quad) { return 8u * group + 4u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  [[unroll]] for (uint i = 0u; i < 2u; ++i) {
    const uint first = block_word(weights, tile, group, 2u * i, row);
    const uint second = block_word(weights, tile, group, 2u * i + 1u, row);
    code[i] = uintBitsToFloat(uvec4(first << 16, first & 0xffff0000u, second << 16, second & 0xffff0000u));
  }
}
