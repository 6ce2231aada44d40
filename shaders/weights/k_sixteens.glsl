// What q2_k, q3_k and q6_k share: a block of 256 weights is sixteen runs of 16, each with its own scale. Words of codes hold four runs at once, 32 weights
// apart, so a group is four such runs: of the block's four groups, 0 and 1 are the even and odd runs of its first half, 2 and 3 of its second.
#define GROUP_SCALES 4
#define STEP_QUADS 4u

// Quad q is in run 2 q of the half's even (or odd) ones.
uint quad_element(uint group, uint step, uint quad) { return 128u * (group / 2u) + 16u * (group & 1u) + 32u * quad + 4u * step; }

uint block_of(uint group) { return group / 4u; }
uint half_of_block(uint group) { return group / 2u & 1u; }
uint odd_runs(uint group) { return group & 1u; }

// A group's four bytes of the sixteen from word `first_word` on, one a run in the order of the weights; the bits above 7 are another run's.
uvec4 run_bytes(WordsIn weights, uint tile, uint group, uint first_word, RowAt row) {
  const uint half_tile = words_further(tile, 2u * half_of_block(group));
  const uint low = block_word(weights, half_tile, block_of(group), first_word, row) >> (8u * odd_runs(group));
  const uint high = block_word(weights, half_tile, block_of(group), first_word + 1u, row) >> (8u * odd_runs(group));
  return uvec4(low, low >> 16, high, high >> 16);
}
