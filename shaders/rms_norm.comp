#version 460
#extension GL_GOOGLE_include_directive : require
// rms_norm: dst[k, n] = src[k, n] * weight[k] / sqrt(mean over k of src[k, n]^2 + epsilon) (+ residual[k, n]).
//
// In     args.src f32 activation [width][column_count]; args.weight f32 [width]; args.residual like src, or 0.
// Out    args.dst like src.
// Grid   x: column tiles. A workgroup owns one tile; an invocation owns every PARTS-th element of one of its columns.
// Spec   workgroup = COLUMN_TILE * PARTS; with one part there is no barrier.
// Sums   f32: elements of a part in order, then parts in order. They depend on width and PARTS alone.
// Bytes  src twice (from the cache the second time), residual and dst once.
#include "shaders/norm_factor.glsl"
layout(push_constant) uniform Push { RmsNormArgs args; };

void main() {
  const uint parts = gl_WorkGroupSize.x / COLUMN_TILE;
  const uint base = linear_workgroup() * args.width * COLUMN_TILE + gl_LocalInvocationID.x % COLUMN_TILE;
  if (linear_workgroup() * COLUMN_TILE >= args.column_count) return;

  FloatsIn src = FloatsIn(args.src);
  const float factor = norm_factor(src, base, args.width, args.epsilon);
  const bool adds = !is_null(args.residual);
  for (uint k = gl_LocalInvocationID.x / COLUMN_TILE; k < args.width; k += parts) {
    const uint at = base + k * COLUMN_TILE;
    precise float result = src.at[at] * factor * FloatsIn(args.weight).at[k];
    if (adds) result += FloatsIn(args.residual).at[at];
    Floats(args.dst).at[at] = result;
  }
}
