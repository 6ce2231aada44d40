// The factor of a root mean square norm, summed by the invocations of a workgroup that share a column. (Zhang & Sennrich 2019)
#ifndef QUIRE_NORM_FACTOR_GLSL
#define QUIRE_NORM_FACTOR_GLSL

#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;

shared float part_sums[gl_WorkGroupSize.x];

// 1 / sqrt(mean of x^2 + epsilon) over the `width` elements at base, base + COLUMN_TILE, ... Invocation (column, part) of the workgroup adds every
// parts-th of them, from `part` on; then parts are added in order. With one part there is no barrier.
// Requires: called by all invocations of a workgroup or by none.
float norm_factor(FloatsIn src, uint base, uint width, float epsilon) {
  const uint parts = gl_WorkGroupSize.x / COLUMN_TILE;
  const uint column = gl_LocalInvocationID.x % COLUMN_TILE;
  precise float sum = 0.0;
  for (uint k = gl_LocalInvocationID.x / COLUMN_TILE; k < width; k += parts) {
    const float x = src.at[base + k * COLUMN_TILE];
    sum = fma(x, x, sum);
  }
  if (parts > 1u) {
    part_sums[gl_LocalInvocationID.x] = sum;
    barrier();
    sum = part_sums[column];
    for (uint p = 1u; p < parts; ++p) sum += part_sums[p * COLUMN_TILE + column];
  }
  precise const float factor = 1.0 / sqrt(sum / float(width) + epsilon);
  return factor;
}

#endif
