// The factor of a root mean square norm, summed by the invocations of a workgroup that share a column. (Zhang & Sennrich 2019)
// Kernels put COLUMN_TILE before the include, and NORM_WORKGROUP: the invocations that the order of the sum is made of. A workgroup may have fewer, a
// divisor of it; each then does the work of several.
#ifndef QUIRE_NORM_FACTOR_GLSL
#define QUIRE_NORM_FACTOR_GLSL

#include "shaders/common.glsl"

shared float norm_part_sums[NORM_WORKGROUP];

// Elements a round of a norm's loops: a processor's compiler keeps a mask of who is still at work, and does so once a round. Their loops have no [[unroll]]:
// spirv-opt forgets in the copies it makes of a body that its results are `precise`.
const uint kNormUnroll = 8u;

float square_and_sum(float x, float sum) {
  precise const float next = fma(x, x, sum);
  return next;
}

// 1 / sqrt(mean of x^2 + epsilon) over the `width` elements at base, base + COLUMN_TILE, ... Invocation (column, part) of the NORM_WORKGROUP adds every
// parts-th of them, from `part` on; then parts are added in order. With one part there is no barrier.
// Requires: called by all invocations of a workgroup or by none.
float norm_factor(FloatsIn src, uint base, uint width, float epsilon) {
  const uint parts = NORM_WORKGROUP / COLUMN_TILE;
  const uint column = gl_LocalInvocationID.x % COLUMN_TILE;
  precise float sum = 0.0;
  for (uint invocation = gl_LocalInvocationID.x; invocation < NORM_WORKGROUP; invocation += gl_WorkGroupSize.x) {
    sum = 0.0;
    uint k = invocation / COLUMN_TILE;
    for (; k + (kNormUnroll - 1u) * parts < width; k += kNormUnroll * parts)
      for (uint i = 0u; i < kNormUnroll; ++i) sum = square_and_sum(src.at[base + (k + i * parts) * COLUMN_TILE], sum);
    for (; k < width; k += parts) sum = square_and_sum(src.at[base + k * COLUMN_TILE], sum);
    norm_part_sums[invocation] = sum;
  }
  if (parts > 1u) {
    barrier();
    sum = norm_part_sums[column];
    for (uint p = 1u; p < parts; ++p) sum += norm_part_sums[p * COLUMN_TILE + column];
  }
  precise const float factor = 1.0 / sqrt(sum / float(width) + epsilon);
  return factor;
}

#endif
