#version 460
#extension GL_GOOGLE_include_directive : require
// head_norm: every head of Q and of K becomes itself * weight / sqrt(mean of its squares + epsilon), in place. (Henry et al. 2020, QK-norm)
//
// In/out args.qkv f32 activation [width][column_count]: q_heads and then kv_heads heads of k_dim rows are normed; the rows after them stay.
// In     args.query_weight, args.key_weight f32 [k_dim].
// Grid   x, y: heads of Q, then of K; z: column tiles. A workgroup owns one head of a tile; an invocation every PARTS-th element of it in a column.
// Spec   workgroup = COLUMN_TILE * PARTS; with one part there is no barrier.
// Sums   f32: elements of a part in order, then parts in order. They depend on k_dim and PARTS alone.
// Bytes  the heads twice read (from the cache the second time), once written.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(push_constant) uniform Push { HeadNormArgs head_norm_args; };
#define NORM_WORKGROUP gl_WorkGroupSize.x
#include "shaders/bodies/head_norm.glsl"

void main() { head_norm_body(linear_workgroup(), gl_WorkGroupID.z); }
