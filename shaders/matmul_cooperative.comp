#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
// matmul_cooperative: dst = W src (+ bias) (+ residual) on cooperative matrices (the many-token family, where the device has them).
//
// In     args.weights [rows][width] in lane tiles; args.src f32 activation [width][column_count], tiles of COLUMN_TILE; args.bias f32 [dst_width] or 0;
//        args.residual f32 activation [dst_width][column_count] or 0.
// Out    args.dst f32 activation [dst_width][column_count], rows [row_offset, row_offset + rows).
// Grid   x, y: rows / ROWS; z: column tiles / COLUMN_TILES. A workgroup of four subgroups owns ROWS rows and COLUMN_TILES tiles of columns, a subgroup a
//        quarter of them. Weights and activations go through shared memory, CHUNK elements at a time, in the order in which the type's steps unpack them.
// Spec   workgroup = 4 * SUBGROUP, and the device's subgroups have exactly SUBGROUP lanes; a matrix of weights is MATRIX_ROWS x MATRIX_DEPTH, one
//        of activations MATRIX_DEPTH x MATRIX_COLUMNS, each 8 or 16.
// Sums   products of f16 weights and activations (each rounded once, and held to f16's range), summed in f32 in the device's order. A column's sum does
//        not depend on its place in the tile or on the other columns.
// Bytes  weights once a workgroup's columns; src once a workgroup's rows.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint SUBGROUP = 32;
layout(constant_id = 2) const uint MATRIX_ROWS = 16;
layout(constant_id = 3) const uint MATRIX_COLUMNS = 16;
layout(constant_id = 4) const uint MATRIX_DEPTH = 16;
layout(constant_id = 5) const uint TILE_ROWS = 32;
#include "weight_type.glsl"

layout(push_constant) uniform Push { MatmulArgs args; };

const uint COLUMN_TILE = MATMUL_COOPERATIVE_COLUMN_TILE;
const uint COLUMN_TILES = MATMUL_COOPERATIVE_COLUMN_TILES;
const uint ROWS = MATMUL_COOPERATIVE_ROWS;
const uint COLUMNS = COLUMN_TILES * COLUMN_TILE;
const uint CHUNK = 64u;
const uint ITEM_STEPS = 32u / STEP_ELEMENTS;  // what an invocation unpacks at a time, with its scales once: 32 weights of a row
const uint ITEMS = CHUNK / 32u;
const uint CHUNK_STEPS = ITEMS * ITEM_STEPS;
const uint BLOCK = 32u;  // a subgroup's rows, and its columns
const uint ROW_MATRICES = BLOCK / MATRIX_ROWS;
const uint COLUMN_MATRICES = BLOCK / MATRIX_COLUMNS;

// Eight elements more a line than needed, so that lines do not start in the same bank.
const uint WEIGHT_STRIDE = CHUNK + 8u;
const uint COLUMN_STRIDE = COLUMNS + 8u;
shared float16_t weight_chunk[ROWS * WEIGHT_STRIDE];     // [row][element]
shared float16_t column_chunk[CHUNK * COLUMN_STRIDE];    // [element][column]
shared float product[4u * MATRIX_ROWS * MATRIX_COLUMNS];  // one matrix a subgroup, on its way out

// What f16 cannot hold becomes its largest number; what is no number stays none.
f16vec4 to_half(vec4 values) { return f16vec4(mix(clamp(values, vec4(-65504.0), vec4(65504.0)), values, isnan(values))); }

void load_weights(WordsIn weights, uint first_row, uint first_step, uint steps, uint tile_words) {
  for (uint i = gl_LocalInvocationID.x; i < ROWS * ITEMS; i += gl_WorkGroupSize.x) {
    const uint row = i % ROWS;
    const uint item = i / ROWS;
    // Rows past the last are computed from it and not stored.
    const uint tile = first_word(min(first_row + row, args.rows - 1u), tile_words);
    const uint item_step = first_step + item * ITEM_STEPS;
#if GROUP_SCALES
    GroupScale group_scale[GROUP_SCALES];
    unpack_scales(weights, tile, min(item_step, steps - 1u) / GROUP_STEPS, RowAt(0u, false), group_scale);
#endif
    [[unroll]] for (uint s = 0u; s < ITEM_STEPS; ++s) {
      const uint step = item_step + s;
      const uint at = row * WEIGHT_STRIDE + item * 32u + s * STEP_ELEMENTS;
      vec4 weight[STEP_QUADS];
      unpack_step(weights, tile, min(step, steps - 1u) / GROUP_STEPS, step % GROUP_STEPS, RowAt(0u, false), weight);
      [[unroll]] for (uint q = 0u; q < STEP_QUADS; ++q) {
#if GROUP_SCALES
        weight[q] = fma(vec4(group_scale[q % GROUP_SCALES].scale), weight[q], vec4(group_scale[q % GROUP_SCALES].offset));
#endif
        const f16vec4 halves = step < steps ? to_half(weight[q]) : f16vec4(0.0);
        [[unroll]] for (uint c = 0u; c < 4u; ++c) weight_chunk[at + 4u * q + c] = halves[c];
      }
    }
  }
}

void load_columns(uint first_tile, uint tile_count, uint first_step, uint steps) {
  const uint tile_quads = COLUMN_TILE / 4u;
  for (uint i = gl_LocalInvocationID.x; i < CHUNK * COLUMNS / 4u; i += gl_WorkGroupSize.x) {
    const uint column_quad = i % (COLUMNS / 4u);
    const uint place = i / (COLUMNS / 4u);
    const uint step = first_step + place / STEP_ELEMENTS;
    const uint k = quad_element(step / GROUP_STEPS, step % GROUP_STEPS, place % STEP_ELEMENTS / 4u) + place % 4u;
    // Tiles past the last are computed from it and not stored; elements past the last are zeros.
    const uint tile = min(first_tile + column_quad / tile_quads, tile_count - 1u);
    const bool exists = step < steps && k < args.width;
    const vec4 x = exists ? Floats4In(args.src).at[(tile * args.width + k) * tile_quads + column_quad % tile_quads] : vec4(0.0);
    const f16vec4 halves = to_half(x);
    [[unroll]] for (uint c = 0u; c < 4u; ++c) column_chunk[place * COLUMN_STRIDE + 4u * column_quad + c] = halves[c];
  }
}

void store(uint row, uint tile, uint column, float sum) {
  const uint at = (tile * args.dst_width + args.row_offset + row) * COLUMN_TILE + column;
  precise float value = sum;
  if (!is_null(args.bias)) value += FloatsIn(args.bias).at[args.row_offset + row];
  if (!is_null(args.residual)) value += FloatsIn(args.residual).at[at];
  Floats(args.dst).at[at] = value;
}

void main() {
  const uint first_row = linear_workgroup() * ROWS;
  if (first_row >= args.rows) return;
  const uint tile_count = args.column_count / COLUMN_TILE;
  const uint first_tile = gl_WorkGroupID.z * COLUMN_TILES;

  WordsIn weights = WordsIn(args.weights);
  const uint tile_words = weight_tile_words(kWeightBlock, TILE_ROWS, weight_row_blocks(args.width, kWeightBlock.elements));
  const uint steps = (args.width + GROUP_ELEMENTS - 1u) / GROUP_ELEMENTS * GROUP_STEPS;
  const uint block_row = gl_SubgroupID / 2u * BLOCK;
  const uint block_column = gl_SubgroupID % 2u * BLOCK;

  coopmat<float, gl_ScopeSubgroup, MATRIX_ROWS, MATRIX_COLUMNS, gl_MatrixUseAccumulator> sum[ROW_MATRICES * COLUMN_MATRICES];
  [[unroll]] for (uint i = 0u; i < ROW_MATRICES * COLUMN_MATRICES; ++i)
    sum[i] = coopmat<float, gl_ScopeSubgroup, MATRIX_ROWS, MATRIX_COLUMNS, gl_MatrixUseAccumulator>(0.0);

  for (uint first_step = 0u; first_step < steps; first_step += CHUNK_STEPS) {
    load_weights(weights, first_row, first_step, steps, tile_words);
    load_columns(first_tile, tile_count, first_step, steps);
    barrier();
    for (uint k = 0u; k < CHUNK; k += MATRIX_DEPTH) {
      coopmat<float16_t, gl_ScopeSubgroup, MATRIX_ROWS, MATRIX_DEPTH, gl_MatrixUseA> a[ROW_MATRICES];
      [[unroll]] for (uint r = 0u; r < ROW_MATRICES; ++r)
        coopMatLoad(a[r], weight_chunk, (block_row + r * MATRIX_ROWS) * WEIGHT_STRIDE + k, WEIGHT_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
      [[unroll]] for (uint c = 0u; c < COLUMN_MATRICES; ++c) {
        coopmat<float16_t, gl_ScopeSubgroup, MATRIX_DEPTH, MATRIX_COLUMNS, gl_MatrixUseB> b;
        coopMatLoad(b, column_chunk, k * COLUMN_STRIDE + block_column + c * MATRIX_COLUMNS, COLUMN_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint r = 0u; r < ROW_MATRICES; ++r) sum[r * COLUMN_MATRICES + c] = coopMatMulAdd(a[r], b, sum[r * COLUMN_MATRICES + c]);
      }
    }
    barrier();
  }

  const uint own = gl_SubgroupID * MATRIX_ROWS * MATRIX_COLUMNS;
  [[unroll]] for (uint r = 0u; r < ROW_MATRICES; ++r)
    [[unroll]] for (uint c = 0u; c < COLUMN_MATRICES; ++c) {
      coopMatStore(sum[r * COLUMN_MATRICES + c], product, own, MATRIX_COLUMNS, gl_CooperativeMatrixLayoutRowMajor);
      subgroupBarrier();
      for (uint i = 0u; i < MATRIX_ROWS * MATRIX_COLUMNS; i += SUBGROUP) {
        const uint element = i + gl_SubgroupInvocationID;
        const uint row = first_row + block_row + r * MATRIX_ROWS + element / MATRIX_COLUMNS;
        const uint column = block_column + c * MATRIX_COLUMNS + element % MATRIX_COLUMNS;
        const uint tile = first_tile + column / COLUMN_TILE;
        if (row < args.rows && tile < tile_count) store(row, tile, column % COLUMN_TILE, product[own + element]);
      }
      subgroupBarrier();
    }
}
