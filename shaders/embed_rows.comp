#version 460
#extension GL_GOOGLE_include_directive : require
// embed_rows: dst column n = scale * row columns[n].token of the embedding table.
//
// In     args.weights [row_count][width] in lane tiles; args.columns ColumnInfo[column_count].
// Out    args.dst f32 activation [width][column_count]. Tokens of other pieces of the table are left alone; padding columns get zeros from the
//        piece with row_begin 0.
// Grid   linear; an invocation owns one group of weights of one column, columns next to each other.
// Spec   workgroup, TILE_ROWS (height of a weight tile), COLUMN_TILE.
// Bytes  one row of weights and one column of dst a token.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint TILE_ROWS = 32;
layout(constant_id = 2) const uint COLUMN_TILE = 1;
#include "weight_type.glsl"
layout(push_constant) uniform Push { EmbedRowsArgs embed_rows_args; };
#include "shaders/bodies/embed_rows.glsl"

void main() { embed_rows_body(linear_invocation()); }
