#version 460
#extension GL_GOOGLE_include_directive : require
// matmul_many: dst = W src (+ bias) (+ residual), or the gated product of its rows (MatmulArgs.gate), for tiles of COLUMN_TILE columns (the many-token
// family).
//
// In     args.weights [rows][width] in lane tiles; args.src f32 activation [width][column_count]; args.bias f32 [dst_width] or 0;
//        args.residual f32 activation [dst_width][column_count] or 0.
// Out    args.dst f32 activation [dst_width][column_count], rows [row_offset, row_offset + rows).
// Grid   x, y: rows / (LANES * TILES_PER_LANE); z: column tiles. A workgroup owns TILES_PER_LANE times LANES rows and one tile of columns; an invocation
//        owns every LANES-th of these rows, unpacks a weight once and uses it for all columns of the tile.
// Gate   an invocation's tiles are pairs: LANES rows of gate, and the same rows of up. TILES_PER_LANE is even then.
// Spec   workgroup = LANES * K_PARTS; TILE_ROWS, the height of a weight tile, is a multiple of LANES; COLUMN_TILE a multiple of 4;
//        LANES_PER_LOAD as in matmul_few.
// Sums   f32, one a row and column, elements in order (each part every K_PARTS-th group of weights), then parts in order. A column's sum does not
//        depend on its place in the tile or on the other columns.
// Bytes  weights once a column tile; src once a workgroup (from the cache after the first).
#include "shaders/common.glsl"
layout(constant_id = 1) const uint LANES = 32;
layout(constant_id = 2) const uint COLUMN_TILE = 16;
layout(constant_id = 3) const uint TILES_PER_LANE = 1;
layout(constant_id = 4) const uint K_PARTS = 1;
layout(constant_id = 5) const uint TILE_ROWS = 32;
layout(constant_id = 6) const uint LANES_PER_LOAD = 1;
#include "weight_type.glsl"
#include "shaders/gate_function.glsl"
#include "shaders/matmul_rows.glsl"

layout(push_constant) uniform Push { MatmulArgs args; };

const uint QUADS = COLUMN_TILE / 4u;
const uint SUMS = TILES_PER_LANE * QUADS;
shared vec4 part_sums[K_PARTS > 1u ? K_PARTS * LANES : 1u];

// The activations of one element for all columns of the tile. Past a width that is no multiple of a group weights are zero, and the last element
// stands in for those that do not exist.
void load_columns(uint at, uint lane, out vec4 x[QUADS]) {
  at = min(at, (gl_WorkGroupID.z + 1u) * args.width * COLUMN_TILE - COLUMN_TILE);
#ifdef SUBGROUP_BROADCAST
  if (LANES_PER_LOAD == 1u) {
    // Lanes load different columns and hand them round: one load for LANES columns.
    const uint chunk = min(LANES, COLUMN_TILE);
    [[unroll]] for (uint first = 0u; first < COLUMN_TILE; first += chunk) {
      const float own = FloatsIn(args.src).at[at + first + lane % chunk];
      [[unroll]] for (uint i = 0u; i < chunk; ++i) x[(first + i) / 4u][(first + i) % 4u] = subgroupBroadcast(own, i);
    }
    return;
  }
#endif
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) x[q] = Floats4In(args.src).at[at / 4u + q];
}

uint step_element(uint group, uint step, uint i) { return quad_element(group, step, i / 4u) + i % 4u; }

void add_product(float weight, vec4 x, inout vec4 sum) {
  precise const vec4 next = fma(vec4(weight), x, sum);
  sum = next;
}

vec4 with_bias(uint row, vec4 sum) {
  precise vec4 value = sum;
  if (!is_null(args.bias)) value += vec4(FloatsIn(args.bias).at[args.row_offset + row]);
  return value;
}

void store(uint row, uint quad, vec4 sum) {
  const uint at = (gl_WorkGroupID.z * args.dst_width + args.row_offset + row) * QUADS + quad;
  precise vec4 value = with_bias(row, sum);
  if (!is_null(args.residual)) value += Floats4In(args.residual).at[at];
  Floats4(args.dst).at[at] = value;
}

void store_gated(uint row, uint quad, vec4 gate, vec4 up) {
  gate = with_bias(row, gate);
  up = with_bias(args.dst_width + row, up);
  vec4 value;
  [[unroll]] for (uint i = 0u; i < 4u; ++i) value[i] = gated(args.gate - 1u, gate[i], up[i]);
  Floats4(args.dst).at[(gl_WorkGroupID.z * args.dst_width + row) * QUADS + quad] = value;
}

// The sum of all parts' sums, in part 0.
vec4 join_parts(uint part, uint lane, vec4 sum) {
  if (K_PARTS == 1u) return sum;
  barrier();
  part_sums[part * LANES + lane] = sum;
  barrier();
  precise vec4 joined = part_sums[lane];
  for (uint p = 1u; p < K_PARTS; ++p) joined += part_sums[p * LANES + lane];
  return joined;
}

void main() {
  const uint lane = K_PARTS == 1u ? gl_LocalInvocationID.x : gl_LocalInvocationID.x % LANES;
  const uint part = K_PARTS == 1u ? 0u : gl_LocalInvocationID.x / LANES;
  const uint tile_count = (args.rows + LANES - 1u) / LANES;
  const uint first_tile = linear_workgroup() * TILES_PER_LANE;
  if (first_tile >= tile_count) return;

  WordsIn weights = WordsIn(args.weights);
  const uint first_element = gl_WorkGroupID.z * args.width * COLUMN_TILE;
  const uint row_blocks = weight_row_blocks(args.width, kWeightBlock.elements);
  const uint tile_words = weight_tile_words(kWeightBlock, TILE_ROWS, row_blocks);
  uint tile[TILES_PER_LANE];
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) tile[r] = first_word(first_row(first_tile + r, args.rows, args.gate), tile_words);
  vec4 sum[SUMS];
  [[unroll]] for (uint i = 0u; i < SUMS; ++i) sum[i] = vec4(0.0);

  const uint groups = (args.width + GROUP_ELEMENTS - 1u) / GROUP_ELEMENTS;
  for (uint group = part; group < groups; group += K_PARTS) {
#if GROUP_SCALES
    GroupScale group_scale[TILES_PER_LANE][GROUP_SCALES];
    [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) unpack_scales(weights, tile[r], row_blocks, group, RowAt(lane, LANES_PER_LOAD > 1u), group_scale[r]);
#endif
    [[dont_unroll]] for (uint step = 0u; step < GROUP_STEPS; ++step) {
      vec4 weight[TILES_PER_LANE][STEP_QUADS];
      [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
        unpack_step(weights, tile[r], group, step, RowAt(lane, LANES_PER_LOAD > 1u), weight[r]);
#if GROUP_SCALES
        [[unroll]] for (uint q = 0u; q < STEP_QUADS; ++q)
          weight[r][q] = fma(vec4(group_scale[r][q % GROUP_SCALES].scale), weight[r][q], vec4(group_scale[r][q % GROUP_SCALES].offset));
#endif
      }
      if (TILES_PER_LANE == 1u) {
        [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i) {
          vec4 x[QUADS];
          load_columns(first_element + step_element(group, step, i) * COLUMN_TILE, lane, x);
          [[unroll]] for (uint q = 0u; q < QUADS; ++q) add_product(weight[0][i / 4u][i % 4u], x[q], sum[q]);
        }
      } else {
        // The sums of several rows are more than the registers hold: four columns' are fetched once a step, for all its elements. In a variable of their own,
        // because a processor's compiler blends with the loop's mask, and stores, an element of `sum` every time it is assigned.
        vec4 x[STEP_ELEMENTS][QUADS];
        [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i) load_columns(first_element + step_element(group, step, i) * COLUMN_TILE, lane, x[i]);
        [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r)
          [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
            vec4 of_step = sum[r * QUADS + q];
            [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i) add_product(weight[r][i / 4u][i % 4u], x[i][q], of_step);
            sum[r * QUADS + q] = of_step;
          }
      }
    }
  }

  if (args.gate != MATMUL_PLAIN) {
    [[unroll]] for (uint r = 0u; r + 1u < TILES_PER_LANE; r += 2u) {
      const uint row = (first_tile + r) / 2u * LANES + lane;
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
        const vec4 gate = join_parts(part, lane, sum[r * QUADS + q]);
        const vec4 up = join_parts(part, lane, sum[(r + 1u) * QUADS + q]);
        if (part == 0u && row < args.dst_width) store_gated(row, q, gate, up);
      }
    }
    return;
  }
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
    const uint row = (first_tile + r) * LANES + lane;
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      const vec4 total = join_parts(part, lane, sum[r * QUADS + q]);
      if (part == 0u && row < args.rows) store(row, q, total);
    }
  }
}
