#version 460
#extension GL_GOOGLE_include_directive : require
// matmul_many: dst = W src (+ bias) (+ residual) for tiles of COLUMN_TILE columns (the many-token family).
//
// In     args.weights [rows][width] in lane tiles; args.src f32 activation [width][column_count]; args.bias f32 [dst_width] or 0;
//        args.residual f32 activation [dst_width][column_count] or 0.
// Out    args.dst f32 activation [dst_width][column_count], rows [row_offset, row_offset + rows).
// Grid   x, y: weight tiles / TILES_PER_LANE; z: column tiles. A workgroup owns TILES_PER_LANE weight tiles and one tile of columns; an invocation owns
//        one row of each, unpacks a weight once and uses it for all columns of the tile.
// Spec   workgroup = LANES * K_PARTS; COLUMN_TILE a multiple of 4.
// Sums   f32, one a row and column, elements in order (each part every K_PARTS-th group of weights), then parts in order. A column's sum does not
//        depend on its place in the tile or on the other columns.
// Bytes  weights once a column tile; src once a workgroup (from the cache after the first).
#include "shaders/common.glsl"
layout(constant_id = 1) const uint LANES = 32;
layout(constant_id = 2) const uint COLUMN_TILE = 16;
layout(constant_id = 3) const uint TILES_PER_LANE = 1;
layout(constant_id = 4) const uint K_PARTS = 1;
#include "shaders/weights/weights.glsl"

layout(push_constant) uniform Push { MatmulArgs args; };

const uint QUADS = COLUMN_TILE / 4u;
const uint SUMS = TILES_PER_LANE * QUADS;
shared vec4 part_sums[K_PARTS > 1u ? K_PARTS * LANES : 1u];

void store(uint row, uint quad, vec4 sum) {
  const uint at = (gl_WorkGroupID.z * args.dst_width + args.row_offset + row) * QUADS + quad;
  precise vec4 value = sum;
  if (!is_null(args.bias)) value += vec4(FloatsIn(args.bias).at[args.row_offset + row]);
  if (!is_null(args.residual)) value += Floats4In(args.residual).at[at];
  Floats4(args.dst).at[at] = value;
}

void main() {
  const uint lane = K_PARTS == 1u ? gl_LocalInvocationID.x : gl_LocalInvocationID.x % LANES;
  const uint part = K_PARTS == 1u ? 0u : gl_LocalInvocationID.x / LANES;
  const uint tile_count = (args.rows + LANES - 1u) / LANES;
  const uint first_tile = linear_workgroup() * TILES_PER_LANE;
  if (first_tile >= tile_count) return;

  WordsIn weights = WordsIn(args.weights);
  Floats4In src = Floats4In(args.src);
  const uint src_quad = gl_WorkGroupID.z * args.width * QUADS;
  const uint row_blocks = weight_row_blocks(args.width, kWeightBlock.elements);
  const uint tile_dwords = weight_tile_dwords(kWeightBlock, LANES, row_blocks);
  // Past the last tile the last one is computed again and not stored, so that no lane takes another path.
  uint tile[TILES_PER_LANE];
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) tile[r] = min(first_tile + r, tile_count - 1u) * tile_dwords;
  vec4 sum[SUMS];
  [[unroll]] for (uint i = 0u; i < SUMS; ++i) sum[i] = vec4(0.0);

  const uint groups = (args.width + GROUP_ELEMENTS - 1u) / GROUP_ELEMENTS;
  for (uint group = part; group < groups; group += K_PARTS) {
    WeightGroup unpacked[TILES_PER_LANE];
    [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
      unpacked[r] = unpack_group(weights, tile[r], row_blocks, group, lane);
#if GROUP_AFFINE
      [[unroll]] for (uint q = 0u; q < GROUP_QUADS; ++q)
        unpacked[r].code[q] = fma(vec4(unpacked[r].scale), unpacked[r].code[q], vec4(unpacked[r].offset));
#endif
    }
    [[unroll]] for (uint i = 0u; i < GROUP_ELEMENTS; ++i) {
      // Past a width that is no multiple of the group weights are zero; the last activation stands in for those that do not exist.
      const uint k = min(group * GROUP_ELEMENTS + i, args.width - 1u);
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
        const vec4 x = src.at[src_quad + k * QUADS + q];
        [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
          precise const vec4 next = fma(vec4(unpacked[r].code[i / 4u][i % 4u]), x, sum[r * QUADS + q]);
          sum[r * QUADS + q] = next;
        }
      }
    }
  }

  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
    const uint row = (first_tile + r) * LANES + lane;
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      vec4 total = sum[r * QUADS + q];
      if (K_PARTS > 1u) {
        barrier();
        part_sums[part * LANES + lane] = total;
        barrier();
        precise vec4 joined = part_sums[lane];
        for (uint p = 1u; p < K_PARTS; ++p) joined += part_sums[p * LANES + lane];
        total = joined;
      }
      if (part == 0u && row < args.rows) store(row, q, total);
    }
  }
}
