#version 460
#extension GL_GOOGLE_include_directive : require
// matmul_few: dst = W src (+ bias) (+ residual) for one to COLUMNS columns at a time (the one-token family).
//
// In     args.weights [rows][width] in lane tiles; args.src f32 [column_count][width]; args.bias f32 [dst_width] or 0;
//        args.residual f32 [column_count][dst_width] or 0.
// Out    args.dst f32 [column_count][dst_width], rows [row_offset, row_offset + rows).
// Grid   x, y: tiles / TILES_PER_LANE; z: column_count / COLUMNS. A workgroup owns TILES_PER_LANE weight tiles and COLUMNS columns; an invocation
//        owns one row of each of its tiles and every K_PARTS-th group of weights in it, so that an activation loaded once serves all its rows.
// Spec   workgroup = LANES * K_PARTS.
// Sums   f32. Per row and column: four partial sums a group (element i to partial i mod 4), groups in order, then parts in order. The order depends on
//        width, the weight type and K_PARTS alone.
// Bytes  weights once a COLUMNS columns; src once a workgroup (from the cache after the first).
#include "shaders/common.glsl"
layout(constant_id = 1) const uint LANES = 32;
layout(constant_id = 2) const uint COLUMNS = 1;
layout(constant_id = 3) const uint TILES_PER_LANE = 1;
layout(constant_id = 4) const uint K_PARTS = 1;
#include "shaders/weights/weights.glsl"

layout(push_constant) uniform Push { MatmulArgs args; };

const uint SUMS = TILES_PER_LANE * COLUMNS;
shared float part_sums[K_PARTS > 1u ? K_PARTS * SUMS * LANES : 1u];

// Adds the products of one group to sum. `quad` is where element 0 of the group is in src, in vec4s, or, for the end of a row whose width is
// no multiple of the group, vectors that were filled with zeros.
void add_group(const WeightGroup weights, const vec4 x[GROUP_QUADS], const float x_sum, inout float sum) {
  precise vec4 products = vec4(0.0);
  [[unroll]] for (uint q = 0u; q < GROUP_QUADS; ++q) products = fma(weights.code[q], x[q], products);
  precise const float total = (products.x + products.y) + (products.z + products.w);
#if GROUP_AFFINE
  precise const float scaled = fma(weights.scale, total, fma(weights.offset, x_sum, sum));
#else
  precise const float scaled = sum + total;
#endif
  sum = scaled;
}

float sum_of(const vec4 x[GROUP_QUADS]) {
  precise vec4 total = x[0];
  [[unroll]] for (uint q = 1u; q < GROUP_QUADS; ++q) total += x[q];
  precise const float sum = (total.x + total.y) + (total.z + total.w);
  return sum;
}

void store(uint row, uint column, float sum) {
  const uint at = column * args.dst_width + args.row_offset + row;
  precise float value = sum;
  if (!is_null(args.bias)) value += FloatsIn(args.bias).at[args.row_offset + row];
  if (!is_null(args.residual)) value += FloatsIn(args.residual).at[at];
  Floats(args.dst).at[at] = value;
}

void main() {
  const uint lane = K_PARTS == 1u ? gl_LocalInvocationID.x : gl_LocalInvocationID.x % LANES;
  const uint part = K_PARTS == 1u ? 0u : gl_LocalInvocationID.x / LANES;
  const uint tile_count = (args.rows + LANES - 1u) / LANES;
  const uint first_tile = linear_workgroup() * TILES_PER_LANE;
  const uint first_column = gl_WorkGroupID.z * COLUMNS;
  if (first_tile >= tile_count) return;

  WordsIn weights = WordsIn(args.weights);
  const uint row_blocks = weight_row_blocks(args.width, kWeightBlock.elements);
  const uint tile_dwords = weight_tile_dwords(kWeightBlock, LANES, row_blocks);
  // Past the last tile or column the last one is computed again and not stored, so that no lane takes another path.
  uint tile[TILES_PER_LANE];
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) tile[r] = min(first_tile + r, tile_count - 1u) * tile_dwords;
  uint column[COLUMNS];
  [[unroll]] for (uint c = 0u; c < COLUMNS; ++c) column[c] = min(first_column + c, args.column_count - 1u);
  float sum[SUMS];
  [[unroll]] for (uint i = 0u; i < SUMS; ++i) sum[i] = 0.0;

  // Rows of whole vectors are read as such; others, and the end of a row, element by element.
  const uint groups = (args.width + GROUP_ELEMENTS - 1u) / GROUP_ELEMENTS;
  const uint whole_groups = args.width % 4u == 0u ? args.width / GROUP_ELEMENTS : 0u;
  uint group = part;
  for (; group < whole_groups; group += K_PARTS) {
    vec4 x[COLUMNS][GROUP_QUADS];
    float x_sum[COLUMNS];
    [[unroll]] for (uint c = 0u; c < COLUMNS; ++c) {
      const uint quad = (column[c] * args.width) / 4u + group * GROUP_QUADS;
      [[unroll]] for (uint q = 0u; q < GROUP_QUADS; ++q) x[c][q] = Floats4In(args.src).at[quad + q];
      x_sum[c] = GROUP_AFFINE == 1 ? sum_of(x[c]) : 0.0;
    }
    [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
      const WeightGroup unpacked = unpack_group(weights, tile[r], row_blocks, group, lane);
      [[unroll]] for (uint c = 0u; c < COLUMNS; ++c) add_group(unpacked, x[c], x_sum[c], sum[r * COLUMNS + c]);
    }
  }
  for (; group < groups; group += K_PARTS) {
    for (uint r = 0u; r < TILES_PER_LANE; ++r) {
      const WeightGroup unpacked = unpack_group(weights, tile[r], row_blocks, group, lane);
      [[unroll]] for (uint c = 0u; c < COLUMNS; ++c) {
        vec4 x[GROUP_QUADS];
        [[unroll]] for (uint i = 0u; i < GROUP_ELEMENTS; ++i) {
          const uint k = group * GROUP_ELEMENTS + i;
          x[i / 4u][i % 4u] = k < args.width ? FloatsIn(args.src).at[column[c] * args.width + k] : 0.0;
        }
        add_group(unpacked, x, GROUP_AFFINE == 1 ? sum_of(x) : 0.0, sum[r * COLUMNS + c]);
      }
    }
  }

  if (K_PARTS > 1u) {
    [[unroll]] for (uint i = 0u; i < SUMS; ++i) part_sums[(part * SUMS + i) * LANES + lane] = sum[i];
    barrier();
    if (part != 0u) return;
    [[unroll]] for (uint i = 0u; i < SUMS; ++i) {
      precise float total = sum[i];
      for (uint p = 1u; p < K_PARTS; ++p) total += part_sums[(p * SUMS + i) * LANES + lane];
      sum[i] = total;
    }
  }
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
    const uint row = (first_tile + r) * LANES + lane;
    [[unroll]] for (uint c = 0u; c < COLUMNS; ++c)
      if (row < args.rows && first_column + c < args.column_count) store(row, first_column + c, sum[r * COLUMNS + c]);
  }
}
