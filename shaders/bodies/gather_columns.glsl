// The body of gather_columns (gather_columns.comp says what it computes).
#include "shaders/common.glsl"
#define args gather_columns_args

void gather_columns_body(uint k, uint column) {
  if (k >= args.width) return;
  const uint selected = WordsIn(args.selection).at[column];
  Floats(args.dst).at[activation_index(k, column, args.width, DST_COLUMN_TILE)] = FloatsIn(args.src).at[activation_index(k, selected, args.width, COLUMN_TILE)];
}

#undef args
