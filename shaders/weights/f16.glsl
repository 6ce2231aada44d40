// f16: eight weights a block, two a word.
#define GROUP_SCALES 0
#define STEP_QUADS 2u

uint quad_element(uint group, uint step, uint quad) { return 8u * group + 4u * quad; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  [[unroll]] for (uint i = 0u; i < 2u; ++i)
    code[i] = vec4(unpackHalf2x16(block_word(weights, tile, group, 2u * i, row)), unpackHalf2x16(block_word(weights, tile, group, 2u * i + 1u, row)));
}
