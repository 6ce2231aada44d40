#version 460
#extension GL_GOOGLE_include_directive : require
// rms_norm: dst[k, n] = src[k, n] * weight[k] / sqrt(mean over k of src[k, n]^2 + epsilon).
//
// In     args.src f32 activation [width][column_count]; args.weight f32 [width].
// Out    args.dst like src.
// Grid   x: column tiles. A workgroup owns one tile; an invocation owns every PARTS-th element of one of its columns.
// Spec   workgroup = COLUMN_TILE * PARTS; with one part there is no barrier.
// Sums   f32: elements of a part in order, then parts in order. They depend on width and PARTS alone.
// Bytes  src twice (from the cache the second time), dst once.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(push_constant) uniform Push { RmsNormArgs args; };

shared float part_sums[gl_WorkGroupSize.x];

void main() {
  const uint parts = gl_WorkGroupSize.x / COLUMN_TILE;
  const uint column = gl_LocalInvocationID.x % COLUMN_TILE;
  const uint part = gl_LocalInvocationID.x / COLUMN_TILE;
  const uint base = linear_workgroup() * args.width * COLUMN_TILE + column;
  if (linear_workgroup() * COLUMN_TILE >= args.column_count) return;

  FloatsIn src = FloatsIn(args.src);
  precise float sum = 0.0;
  for (uint k = part; k < args.width; k += parts) {
    const float x = src.at[base + k * COLUMN_TILE];
    sum = fma(x, x, sum);
  }
  if (parts > 1u) {
    part_sums[gl_LocalInvocationID.x] = sum;
    barrier();
    sum = part_sums[column];
    for (uint p = 1u; p < parts; ++p) sum += part_sums[p * COLUMN_TILE + column];
  }
  precise const float factor = 1.0 / sqrt(sum / float(args.width) + args.epsilon);
  for (uint k = part; k < args.width; k += parts) {
    precise const float scaled = src.at[base + k * COLUMN_TILE] * factor * FloatsIn(args.weight).at[k];
    Floats(args.dst).at[base + k * COLUMN_TILE] = scaled;
  }
}
