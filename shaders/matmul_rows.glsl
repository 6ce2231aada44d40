// Which rows the tiles of matmul_few and matmul_many are, without a gate and with one. LANES is defined before the include.
#ifndef QUIRE_MATMUL_ROWS_GLSL
#define QUIRE_MATMUL_ROWS_GLSL

// The first of tile `tile`'s LANES rows. With a gate tiles come in pairs: LANES rows of gate, then the same rows of up. Past the last tile or pair that one
// is computed again and not stored, so that no lane takes another path.
uint first_row(uint tile, uint rows, uint gate) {
  const uint tile_count = (rows + LANES - 1u) / LANES;
  if (gate == MATMUL_PLAIN) return min(tile, tile_count - 1u) * LANES;
  return min(tile / 2u, tile_count / 2u - 1u) * LANES + tile % 2u * (rows / 2u);
}

#endif
