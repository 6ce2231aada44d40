#version 460
#extension GL_GOOGLE_include_directive : require
// matmul_many: dst = W src (+ bias) (+ residual), or the gated product of its rows (MatmulArgs.gate), for tiles of COLUMN_TILE columns (the many-token
// family).
//
// In     args.weights [rows][width] in lane tiles; args.src f32 activation [width][column_count]; args.bias f32 [dst_width] or 0;
//        args.residual f32 activation [dst_width][column_count] or 0.
// Out    args.dst f32 activation [dst_width][column_count], rows [row_offset, row_offset + rows).
// Grid   x, y: rows / (LANES * TILES_PER_LANE); z: column tiles. A workgroup owns TILES_PER_LANE times LANES rows and one tile of columns; an invocation
//        owns every LANES-th of these rows, unpacks a weight once and uses it for all columns of the tile: all its rows at once, so that an activation
//        serves them all, or in turn, so that the sums fit a processor's registers.
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
// Where lanes load together, a processor's instructions multiply by what lies in memory, and one row's sums alone are enough to work on side by side.
const bool TILES_IN_TURN = LANES_PER_LOAD > 1u && TILES_PER_LANE > 1u;
const uint TILES_AT_ONCE = TILES_IN_TURN ? 1u : TILES_PER_LANE;
const uint SUMS = TILES_AT_ONCE * QUADS;
shared vec4 part_sums[K_PARTS > 1u ? K_PARTS * LANES : 1u];

// What one invocation works on.
WordsIn matrix;
uint lane;
uint part;
uint tile_words;

// Rows of types with scales are whole groups. The others may end within one: there weights past the width are zero, and the last element stands in for those
// that do not exist.
const bool WHOLE_GROUPS = GROUP_SCALES != 0;

// The activations of element `i` of a step, for all columns of the tile.
void load_columns(uint group, uint step, uint i, out vec4 x[QUADS]) {
  const uint element = quad_element(group, step, i / 4u) + i % 4u;
  const uint row = gl_WorkGroupID.z * args.width + (WHOLE_GROUPS ? quad_element(group, 0u, 0u) : min(element, args.width - 1u));
  const uint rows_after = WHOLE_GROUPS ? quad_element(0u, step, i / 4u) + i % 4u : 0u;
#ifdef SUBGROUP_BROADCAST
  if (LANES_PER_LOAD == 1u) {
    // Lanes load different columns and hand them round: one load for LANES columns.
    const uint chunk = min(LANES, COLUMN_TILE);
    [[unroll]] for (uint first = 0u; first < COLUMN_TILE; first += chunk) {
      const float own = FloatsIn(args.src).at[(row + rows_after) * COLUMN_TILE + first + lane % chunk];
      [[unroll]] for (uint c = 0u; c < chunk; ++c) x[(first + c) / 4u][(first + c) % 4u] = subgroupBroadcast(own, c);
    }
    return;
  }
#endif
  // Constant indices behind one address a group: a processor's instructions multiply by what lies there and compute no address of their own.
  Floats4In columns = Floats4In(address_after(args.src, 4u * COLUMN_TILE * row));
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) x[q] = columns.at[rows_after * QUADS + q];
}

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
  // No loop: spirv-opt forgets in the copies it makes of a body that its results are `precise`.
  const uint function = args.gate - 1u;
  Floats4(args.dst).at[(gl_WorkGroupID.z * args.dst_width + row) * QUADS + quad] =
      vec4(gated(function, gate.x, up.x), gated(function, gate.y, up.y), gated(function, gate.z, up.z), gated(function, gate.w, up.w));
}

// The sum of all parts' sums, in part 0.
vec4 join_parts(vec4 sum) {
  if (K_PARTS == 1u) return sum;
  barrier();
  part_sums[part * LANES + lane] = sum;
  barrier();
  precise vec4 joined = part_sums[lane];
  for (uint p = 1u; p < K_PARTS; ++p) joined += part_sums[p * LANES + lane];
  return joined;
}

#if GROUP_SCALES
#define SCALES_OF_GROUP GroupScale group_scale[TILES_AT_ONCE][GROUP_SCALES],
#else
#define SCALES_OF_GROUP
#endif

// Adds the products of one step of a group.
void add_step(uint tile[TILES_AT_ONCE], uint group, uint step, SCALES_OF_GROUP inout vec4 sum[SUMS]) {
  vec4 weight[TILES_AT_ONCE][STEP_QUADS];
  [[unroll]] for (uint r = 0u; r < TILES_AT_ONCE; ++r) {
    unpack_step(matrix, tile[r], group, step, RowAt(lane, LANES_PER_LOAD > 1u), weight[r]);
#if GROUP_SCALES
    [[unroll]] for (uint q = 0u; q < STEP_QUADS; ++q)
      weight[r][q] = fma(vec4(group_scale[r][q % GROUP_SCALES].scale), weight[r][q], vec4(group_scale[r][q % GROUP_SCALES].offset));
#endif
  }
  if (TILES_AT_ONCE == 1u) {
    [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i) {
      vec4 x[QUADS];
      load_columns(group, step, i, x);
      [[unroll]] for (uint q = 0u; q < QUADS; ++q) add_product(weight[0][i / 4u][i % 4u], x[q], sum[q]);
    }
    return;
  }
  // The sums of several rows are more than the registers hold: four columns' are fetched once a step, for all its elements. In a variable of their own,
  // because a processor's compiler blends with the loop's mask, and stores, an element of `sum` every time it is assigned.
  vec4 x[STEP_ELEMENTS][QUADS];
  [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i) load_columns(group, step, i, x[i]);
  [[unroll]] for (uint r = 0u; r < TILES_AT_ONCE; ++r)
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
      vec4 of_step = sum[r * QUADS + q];
      [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i) add_product(weight[r][i / 4u][i % 4u], x[i][q], of_step);
      sum[r * QUADS + q] = of_step;
    }
}

#if GROUP_SCALES
#define OF_GROUP group_scale,
#else
#define OF_GROUP
#endif

// Adds the products of a group.
void add_group(uint tile[TILES_AT_ONCE], uint group, inout vec4 sum[SUMS]) {
#if GROUP_SCALES
  GroupScale group_scale[TILES_AT_ONCE][GROUP_SCALES];
  [[unroll]] for (uint r = 0u; r < TILES_AT_ONCE; ++r) unpack_scales(matrix, tile[r], group, RowAt(lane, LANES_PER_LOAD > 1u), group_scale[r]);
#endif
  if (TILES_IN_TURN) {
    // Sixteen sums side by side, a step's weights in registers.
    [[unroll]] for (uint step = 0u; step < GROUP_STEPS; ++step) {
      // With 16 lanes the compiler keeps the order by itself, and at a barrier the processor would wait for weights.
      if (LANES < 16u) keep_load_order();
      add_step(tile, group, step, OF_GROUP sum);
    }
  } else {
    [[dont_unroll]] for (uint step = 0u; step < GROUP_STEPS; ++step) add_step(tile, group, index_to_load(step, GROUP_STEPS), OF_GROUP sum);
  }
}

// The sums of the TILES_AT_ONCE tiles from `first_tile` on.
void sum_tiles(uint first_tile, out vec4 sum[SUMS]) {
  uint tile[TILES_AT_ONCE];
  [[unroll]] for (uint r = 0u; r < TILES_AT_ONCE; ++r) tile[r] = first_word(first_row(first_tile + r, args.rows, args.gate), tile_words);
  [[unroll]] for (uint i = 0u; i < SUMS; ++i) sum[i] = vec4(0.0);
  const uint groups = (args.width + GROUP_ELEMENTS - 1u) / GROUP_ELEMENTS;
  uint group = part;
  if (K_PARTS == 1u) {
    // Tested at its end: a processor's compiler would execute a last round that no lane takes part in. Where none does from the start, it executes one.
    do add_group(tile, index_to_load(group, groups), sum);
    while (++group < groups);
  } else {
    for (; group < groups; group += K_PARTS) add_group(tile, index_to_load(group, groups), sum);
  }
}

void of_tile(vec4 sum[SUMS], uint r, out vec4 own[QUADS]) {
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) own[q] = sum[r * QUADS + q];
}

void store_tile(uint tile, vec4 sum[QUADS]) {
  const uint row = tile * LANES + lane;
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
    const vec4 total = join_parts(sum[q]);
    if (part == 0u && row < args.rows) store(row, q, total);
  }
}

void store_pair(uint pair, vec4 gate[QUADS], vec4 up[QUADS]) {
  const uint row = pair * LANES + lane;
  [[unroll]] for (uint q = 0u; q < QUADS; ++q) {
    const vec4 gate_total = join_parts(gate[q]);
    const vec4 up_total = join_parts(up[q]);
    if (part == 0u && row < args.dst_width) store_gated(row, q, gate_total, up_total);
  }
}

void main() {
  lane = K_PARTS == 1u ? gl_LocalInvocationID.x : gl_LocalInvocationID.x % LANES;
  part = K_PARTS == 1u ? 0u : gl_LocalInvocationID.x / LANES;
  const uint tile_count = (args.rows + LANES - 1u) / LANES;
  const uint first_tile = linear_workgroup() * TILES_PER_LANE;
  if (first_tile >= tile_count) return;

  matrix = WordsIn(args.weights);
  tile_words = weight_tile_words(kWeightBlock, TILE_ROWS, weight_row_blocks(args.width, kWeightBlock.elements));
  vec4 sum[SUMS];
  vec4 gate[QUADS];
  vec4 own[QUADS];
  if (TILES_IN_TURN) {
    [[unroll]] for (uint q = 0u; q < QUADS; ++q) gate[q] = vec4(0.0);
    const uint end = min(first_tile + TILES_PER_LANE, tile_count);
    [[dont_unroll]] for (uint tile = first_tile; tile < end; ++tile) {
      sum_tiles(tile, sum);
      of_tile(sum, 0u, own);
      if (args.gate == MATMUL_PLAIN) store_tile(tile, own);
      else if (tile % 2u == 0u) of_tile(sum, 0u, gate);
      else store_pair(tile / 2u, gate, own);
    }
    return;
  }
  sum_tiles(first_tile, sum);
  if (args.gate == MATMUL_PLAIN) {
    [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
      of_tile(sum, r, own);
      store_tile(first_tile + r, own);
    }
    return;
  }
  [[unroll]] for (uint r = 0u; r + 1u < TILES_PER_LANE; r += 2u) {
    of_tile(sum, r, gate);
    of_tile(sum, r + 1u, own);
    store_pair((first_tile + r) / 2u, gate, own);
  }
}
