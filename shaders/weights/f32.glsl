// f32: four weights a block, one a word.
#define GROUP_SCALES 0
#define STEP_QUADS 1u

uint quad_element(uint group, uint step, uint quad) { return 4u * group; }

void unpack_step(WordsIn weights, uint tile, uint group, uint step, RowAt row, out vec4 code[STEP_QUADS]) {
  [[unroll]] for (uint i = 0u; i < 4u; ++i) code[0][i] = uintBitsToFloat(block_word(weights, tile, group, i, row));
}
