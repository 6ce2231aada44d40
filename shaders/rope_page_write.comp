#version 460
#extension GL_GOOGLE_include_directive : require
// rope_page_write: turns the projected Q and K by their positions and writes K and V to their page slots.
//
// In     args.qkv f32 activation [q_heads * k_dim + kv_heads * (k_dim + v_dim)][column_count]: rows of Q, of K, of V; args.rope f32
//        [column_count][rope_dim / 2][2] (cos, sin); args.columns; args.sequences.
// Out    args.q f32 activation [q_heads * k_dim][column_count]; one slot of K and of V for each column that has a page. Padding columns get
//        zeros in q and write no slot.
// Grid   x: pairs of elements of a head * COLUMN_TILE, columns next to each other; y: heads of Q, of K, of V; z: column tiles. An invocation owns two
//        neighbouring elements of one head in one column. In a q8 page the one that owns a group's first pair writes the whole group, and the others
//        nothing: it reads the group twice, which needs neither shared memory nor a barrier.
// Spec   workgroup, COLUMN_TILE.
// Bytes  qkv and q once (K and V of q8 pages twice, from the cache), one slot of K and V a column.
#include "shaders/page_rows.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(push_constant) uniform Push { RopePageWriteArgs rope_page_write_args; };
#include "shaders/bodies/rope_page_write.glsl"

void main() { rope_page_write_body(gl_GlobalInvocationID.x, gl_WorkGroupID.y, gl_WorkGroupID.z); }
