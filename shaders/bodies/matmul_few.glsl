// The body of matmul_few (matmul_few.comp says what it computes).
#include "shaders/common.glsl"
#include "shaders/gate_function.glsl"
#include "shaders/lane_words.glsl"
#include "shaders/matmul_rows.glsl"
#define args matmul_few_args

#ifndef QUIRE_MATMUL_FEW_GLSL
#define QUIRE_MATMUL_FEW_GLSL

// Up to this many products a group's steps are unrolled; beyond, the pipeline would take long to compile. In a loop a processor's compiler also stores the
// sums after every step.
const uint UNROLLED_PRODUCTS = 1024u;
// With several columns a row's sums alone are enough to work on side by side, and fit a processor's registers: sixteen elements' weights there, too, and all
// columns for each.
const bool ROWS_IN_TURN = LANES_PER_LOAD > 1u && COLUMNS >= 4u;
const uint ELEMENTS_IN_ORDER = 16u;
const uint ROW_SUMS = TILES_PER_LANE * COLUMNS;
shared float part_sums[K_PARTS > 1u ? K_PARTS * ROW_SUMS * LANES : 1u];

// What one invocation works on.
WordsIn matrix;
uint lane;
uint tile[TILES_PER_LANE];  // where lane 0's row of each LANES rows starts
uint column[COLUMNS];

float with_bias(uint row, float sum) {
  precise float value = sum;
  if (!is_null(args.bias)) value += FloatsIn(args.bias).at[args.row_offset + row];
  return value;
}

void store(uint row, uint column, float sum) {
  const uint at = column * args.dst_width + args.row_offset + row;
  precise float value = with_bias(row, sum);
  if (!is_null(args.residual)) value += FloatsIn(args.residual).at[at];
  Floats(args.dst).at[at] = value;
}

float product_and_sum(float a, float b, float sum) {
  precise const float next = fma(a, b, sum);
  return next;
}

// The sum of the `run` activations from element `first` on, 16 or 32 of them: each is added to the one half a run further, then the same with what is left,
// down to one. Lanes that hand round what they load add whole vectors first.
float run_sum(uint first, uint run) {
#ifdef SUBGROUP_BROADCAST
  if (LANES <= 16u) {
    const uint vectors = run / LANES;
    float own[32];
    [[unroll]] for (uint v = 0u; v < vectors; ++v) {
      if (LANES_PER_LOAD > 1u) own[v] = uintBitsToFloat(word_of_lane(word_address(args.src, first), v * LANES));
      else own[v] = FloatsIn(args.src).at[first + v * LANES + lane];
    }
    [[unroll]] for (uint halving = 1u; halving <= 4u; ++halving)
      [[unroll]] for (uint v = 0u; v < vectors >> halving; ++v) {
        precise const float sum = own[v] + own[v + (vectors >> halving)];
        own[v] = sum;
      }
    float of_lane[LANES];
    [[unroll]] for (uint i = 0u; i < LANES; ++i) of_lane[i] = subgroupBroadcast(own[0], i);
    [[unroll]] for (uint halving = 1u; halving <= 4u; ++halving)
      [[unroll]] for (uint i = 0u; i < LANES >> halving; ++i) {
        precise const float sum = of_lane[i] + of_lane[i + (LANES >> halving)];
        of_lane[i] = sum;
      }
    return of_lane[0];
  }
#endif
  const uint quads = run / 4u;
  vec4 quad[8];
  [[unroll]] for (uint q = 0u; q < quads; ++q) quad[q] = Floats4In(args.src).at[first / 4u + q];
  [[unroll]] for (uint halving = 1u; halving <= 3u; ++halving)
    [[unroll]] for (uint q = 0u; q < quads >> halving; ++q) {
      precise const vec4 sum = quad[q] + quad[q + (quads >> halving)];
      quad[q] = sum;
    }
  precise const float sum = (quad[0].x + quad[0].z) + (quad[0].y + quad[0].w);
  return sum;
}

// Nothing past the last row or column.
void store_gated(uint row, uint column, float gate, float up) {
  if (row >= args.dst_width || column >= args.column_count) return;
  Floats(args.dst).at[column * args.dst_width + row] = gated(args.gate - 1u, with_bias(row, gate), with_bias(args.dst_width + row, up));
}

#endif

// One step's activations of a column, as the weights of the step lie. Elements from width on are zeros.
void load_step(uint column_index, uint group, uint step, out float x[STEP_ELEMENTS]) {
  const uint base = column_index * args.width;
#ifdef SUBGROUP_BROADCAST
  if (LANES_PER_LOAD == 1u) {
    // Lanes load different elements and hand them round: one load for LANES elements.
    const uint chunk = min(LANES, STEP_ELEMENTS);
    [[unroll]] for (uint first = 0u; first < STEP_ELEMENTS; first += chunk) {
      const uint own_index = first + lane % chunk;
      const uint element = quad_element(group, step, own_index / 4u) + own_index % 4u;
      const float own = FloatsIn(args.src).at[base + element];
      [[unroll]] for (uint i = 0u; i < chunk; ++i) x[first + i] = subgroupBroadcast(own, i);
    }
    return;
  }
#endif
  // Constant indices behind one address a group: a processor's instructions multiply by what lies there and compute no address of their own.
  const uvec2 quads = address_after(args.src, 4u * (base + quad_element(group, 0u, 0u)));
  [[unroll]] for (uint q = 0u; q < STEP_QUADS; ++q) {
    const vec4 quad = Floats4In(quads).at[quad_element(0u, step, q) / 4u];
    [[unroll]] for (uint i = 0u; i < 4u; ++i) x[4u * q + i] = quad[i];
  }
}

// The same for rows that are not made of whole vectors, and for the end of a row.
void load_step_by_element(uint column_index, uint group, uint step, out float x[STEP_ELEMENTS]) {
  [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i) {
    const uint k = quad_element(group, step, i / 4u) + i % 4u;
    x[i] = k < args.width ? FloatsIn(args.src).at[column_index * args.width + min(k, args.width - 1u)] : 0.0;
  }
}

// Sums of codes times activations, and of activations alone, are kept for each scale of a group, whose elements are a run of neighbours. Weights without
// scales go straight into the rows' sums.
#if GROUP_SCALES
const uint kDots = ROW_SUMS * GROUP_SCALES;
const uint kXSums = COLUMNS * GROUP_SCALES;
#define SCALES uint(GROUP_SCALES)
#define DOTS kDots
#define X_SUMS kXSums
#else
#define SCALES 1u
#define DOTS ROW_SUMS
#define X_SUMS COLUMNS
#endif

// Adds a step's products of every column to `dot`: of all rows, or of row `row_in_turn` of TILES_PER_LANE where rows take turns.
void add_step(uint group, uint step, uint row_in_turn, bool whole, inout float dot[DOTS]) {
  float x[COLUMNS][STEP_ELEMENTS];
  [[unroll]] for (uint c = 0u; c < COLUMNS; ++c) {
    if (whole) load_step(column[c], group, step, x[c]);
    else load_step_by_element(column[c], group, step, x[c]);
  }
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
#if GROUP_SCALES
    if (ROWS_IN_TURN && r != row_in_turn) continue;
#endif
    vec4 code[STEP_QUADS];
    unpack_step(matrix, tile[r], group, step, RowAt(lane, LANES_PER_LOAD > 1u), code);
    [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i)
      [[unroll]] for (uint c = 0u; c < COLUMNS; ++c) {
        const uint at = (r * COLUMNS + c) * SCALES + i / 4u % SCALES;
        dot[at] = product_and_sum(code[i / 4u][i % 4u], x[c][i], dot[at]);
      }
  }
}

void add_group(uint group, bool whole, inout float sum[ROW_SUMS]) {
#if GROUP_SCALES
  float dot[DOTS];
  [[unroll]] for (uint i = 0u; i < DOTS; ++i) dot[i] = 0.0;
  if (!ROWS_IN_TURN) {
    if (ROW_SUMS * GROUP_ELEMENTS <= UNROLLED_PRODUCTS) {
      [[unroll]] for (uint step = 0u; step < GROUP_STEPS; ++step) add_step(group, step, 0u, whole, dot);
    } else {
      [[dont_unroll]] for (uint step = 0u; step < GROUP_STEPS; ++step) add_step(group, index_to_load(step, GROUP_STEPS), 0u, whole, dot);
    }
  }
  float x_sum[X_SUMS];
  [[unroll]] for (uint s = 0u; s < SCALES; ++s)
    [[unroll]] for (uint c = 0u; c < COLUMNS; ++c)
      x_sum[c * SCALES + s] = run_sum(column[c] * args.width + quad_element(group, 0u, s), GROUP_ELEMENTS / SCALES);
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
    if (ROWS_IN_TURN)
      [[unroll]] for (uint step = 0u; step < GROUP_STEPS; ++step) {
        if (step * STEP_ELEMENTS % ELEMENTS_IN_ORDER == 0u) keep_load_order();
        add_step(group, step, r, whole, dot);
      }
    GroupScale group_scale[GROUP_SCALES];
    unpack_scales(matrix, tile[r], group, RowAt(lane, LANES_PER_LOAD > 1u), group_scale);
    [[unroll]] for (uint s = 0u; s < SCALES; ++s)
      [[unroll]] for (uint c = 0u; c < COLUMNS; ++c) {
        const float with_offset = product_and_sum(group_scale[s].offset, x_sum[c * SCALES + s], sum[r * COLUMNS + c]);
        sum[r * COLUMNS + c] = product_and_sum(group_scale[s].scale, dot[(r * COLUMNS + c) * SCALES + s], with_offset);
      }
  }
#else
  [[unroll]] for (uint step = 0u; step < GROUP_STEPS; ++step) add_step(group, step, 0u, whole, sum);
#endif
}

void matmul_few_body(uint workgroup, uint column_group) {
  lane = K_PARTS == 1u ? gl_LocalInvocationID.x : gl_LocalInvocationID.x % LANES;
  const uint part = K_PARTS == 1u ? 0u : gl_LocalInvocationID.x / LANES;
  const uint tile_count = (args.rows + LANES - 1u) / LANES;
  const uint first_tile = workgroup * TILES_PER_LANE;
  const uint first_column = column_group * COLUMNS;
  if (first_tile >= tile_count) return;

  matrix = WordsIn(args.weights);
  const uint tile_words = weight_tile_words(kWeightBlock, TILE_ROWS, weight_row_blocks(args.width, kWeightBlock.elements));
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) tile[r] = first_word(first_row(first_tile + r, args.rows, args.gate), tile_words);
  // Past the last column, too, the last one is computed again and not stored.
  [[unroll]] for (uint c = 0u; c < COLUMNS; ++c) column[c] = min(first_column + c, args.column_count - 1u);
  float sum[ROW_SUMS];
  [[unroll]] for (uint i = 0u; i < ROW_SUMS; ++i) sum[i] = 0.0;

  const uint groups = (args.width + GROUP_ELEMENTS - 1u) / GROUP_ELEMENTS;
  uint group = part;
#if GROUP_SCALES  // rows are whole groups, at least one
  if (K_PARTS == 1u) {
    // Tested at its end: a processor's compiler would execute a last round that no lane takes part in. Where none does from the start, it executes one.
    do add_group(index_to_load(group, groups), true, sum);
    while (++group < groups);
  } else {
    for (; group < groups; group += K_PARTS) add_group(index_to_load(group, groups), true, sum);
  }
#else
  const uint whole_groups = args.width % 4u == 0u ? args.width / GROUP_ELEMENTS : 0u;
  for (; group < whole_groups; group += K_PARTS) add_group(index_to_load(group, whole_groups), true, sum);
  for (; group < groups; group += K_PARTS) add_group(index_to_load(group, groups), false, sum);
#endif

  if (K_PARTS > 1u) {
    [[unroll]] for (uint i = 0u; i < ROW_SUMS; ++i) part_sums[(part * ROW_SUMS + i) * LANES + lane] = sum[i];
    barrier();
    if (part != 0u) return;
    [[unroll]] for (uint i = 0u; i < ROW_SUMS; ++i) {
      precise float total = sum[i];
      for (uint p = 1u; p < K_PARTS; ++p) total += part_sums[(p * ROW_SUMS + i) * LANES + lane];
      sum[i] = total;
    }
  }
  if (args.gate != MATMUL_PLAIN) {
    [[unroll]] for (uint r = 0u; r + 1u < TILES_PER_LANE; r += 2u)
      [[unroll]] for (uint c = 0u; c < COLUMNS; ++c)
        store_gated((first_tile + r) / 2u * LANES + lane, first_column + c, sum[r * COLUMNS + c], sum[(r + 1u) * COLUMNS + c]);
    return;
  }
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
    const uint row = (first_tile + r) * LANES + lane;
    [[unroll]] for (uint c = 0u; c < COLUMNS; ++c)
      if (row < args.rows && first_column + c < args.column_count) store(row, first_column + c, sum[r * COLUMNS + c]);
  }
}

#undef args
#undef SCALES
#undef DOTS
#undef X_SUMS
