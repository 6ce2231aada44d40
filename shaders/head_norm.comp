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
#include "shaders/norm_factor.glsl"
layout(push_constant) uniform Push { HeadNormArgs args; };

void main() {
  const uint head = linear_workgroup();
  if (head >= args.q_heads + args.kv_heads) return;
  const uint parts = gl_WorkGroupSize.x / COLUMN_TILE;
  const uint column = gl_WorkGroupID.z * COLUMN_TILE + gl_LocalInvocationID.x % COLUMN_TILE;
  const uint base = activation_index(head * args.k_dim, column, args.width, COLUMN_TILE);

  const float factor = norm_factor(FloatsIn(args.qkv), base, args.k_dim, args.epsilon);
  FloatsIn weight = FloatsIn(head < args.q_heads ? args.query_weight : args.key_weight);
  // An invocation writes what it alone reads from here on.
  for (uint k = gl_LocalInvocationID.x / COLUMN_TILE; k < args.k_dim; k += parts) {
    const uint at = base + k * COLUMN_TILE;
    precise const float result = Floats(args.qkv).at[at] * factor * weight.at[k];
    Floats(args.qkv).at[at] = result;
  }
}
