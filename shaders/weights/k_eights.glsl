// What q4_k and q5_k share: a block of 256 weights d * s * q - dmin * m is eight runs of 32, d and dmin f16, s and m of six bits for each run. A word of
// nibbles holds two runs at once, 32 weights apart, so a group is two runs.
// Words 0 to 2, as bytes: bytes 0 to 3 have s of runs 0 to 3, bytes 4 to 7 m of runs 0 to 3, each in the low six bits; bytes 8 to 11 have the low four bits
// of s and, above, of m of runs 4 to 7, whose high two bits are at the top of bytes 0 to 3 (s) and 4 to 7 (m).
#define GROUP_SCALES 2
#define STEP_QUADS 2u

uint quad_element(uint group, uint step, uint quad) { return 64u * group + 4u * step + 32u * quad; }

uint block_of(uint group) { return group / 4u; }

// The group's s (x, y) and m (z, w).
vec4 run_scales(WordsIn weights, uint tile, uint group, RowAt row) {
  const uint shift = 16u * (group & 1u);
  const uint s = block_word(weights, tile, block_of(group), 0u, row) >> shift;
  const uint m = block_word(weights, tile, block_of(group), 1u, row) >> shift;
  const uint s_m = block_word(weights, tile, block_of(group), 2u, row) >> shift;
  const bool late = (group & 2u) != 0u;
  const uint s_bytes = late ? s_m & 0x0f0fu | s >> 2 & 0x3030u : s & 0x3f3fu;
  const uint m_bytes = late ? s_m >> 4 & 0x0f0fu | m >> 2 & 0x3030u : m & 0x3f3fu;
  return vec4(uvec4(s_bytes & 255u, s_bytes >> 8, m_bytes & 255u, m_bytes >> 8));
}
