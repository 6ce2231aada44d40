#version 460
#extension GL_GOOGLE_include_directive : require
// gather_columns: dst column i = src column selection[i], from tiles of COLUMN_TILE columns to tiles of DST_COLUMN_TILE.
//
// In     args.src f32 activation [width][...]; args.selection uint32 [column_count].
// Out    args.dst f32 activation [width][column_count].
// Grid   x: elements of a column; z: columns. An invocation owns one element of dst.
// Spec   workgroup, COLUMN_TILE (of src), DST_COLUMN_TILE.
// Bytes  dst twice.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(constant_id = 2) const uint DST_COLUMN_TILE = 1;
layout(push_constant) uniform Push { GatherColumnsArgs gather_columns_args; };
#include "shaders/bodies/gather_columns.glsl"

void main() { gather_columns_body(gl_GlobalInvocationID.x, gl_WorkGroupID.z); }
