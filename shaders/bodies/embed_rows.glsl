// The body of embed_rows (embed_rows.comp says what it computes).
#include "shaders/common.glsl"
#define args embed_rows_args

void embed_rows_body(uint index) {
  const uint column = index % args.column_count;
  const uint group = index / args.column_count;
  const uint groups = (args.width + GROUP_ELEMENTS - 1u) / GROUP_ELEMENTS;
  if (group >= groups) return;

  const ColumnInfo info = ColumnInfos(args.columns).at[column];
  const bool padding = info.sequence == PADDING_COLUMN;
  const uint row = info.token - args.row_begin;  // of another piece: not below row_count, whichever way it wraps
  if (padding ? args.row_begin != 0u : row >= args.row_count) return;

  Floats dst = Floats(args.dst);
  if (padding) {
    const uint end = min((group + 1u) * GROUP_ELEMENTS, args.width);
    for (uint k = group * GROUP_ELEMENTS; k < end; ++k) dst.at[activation_index(k, column, args.width, COLUMN_TILE)] = 0.0;
    return;
  }
  const uint tile = first_word(row, weight_tile_words(kWeightBlock, TILE_ROWS, weight_row_blocks(args.width, kWeightBlock.elements)));
#if GROUP_SCALES
  GroupScale group_scale[GROUP_SCALES];
  unpack_scales(WordsIn(args.weights), tile, group, RowAt(0u, false), group_scale);
#endif
  for (uint at = 0u; at < GROUP_STEPS; ++at) {
    const uint step = index_to_load(at, GROUP_STEPS);
    vec4 code[STEP_QUADS];
    unpack_step(WordsIn(args.weights), tile, group, step, RowAt(0u, false), code);
    [[unroll]] for (uint i = 0u; i < STEP_ELEMENTS; ++i) {
      precise float weight = code[i / 4u][i % 4u];
#if GROUP_SCALES
      weight = fma(group_scale[i / 4u % GROUP_SCALES].scale, weight, group_scale[i / 4u % GROUP_SCALES].offset);
#endif
      const uint k = quad_element(group, step, i / 4u) + i % 4u;
      if (k < args.width) dst.at[activation_index(k, column, args.width, COLUMN_TILE)] = args.scale * weight;
    }
  }
}

#undef args
