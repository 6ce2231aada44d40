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
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(push_constant) uniform Push { RmsNormArgs rms_norm_args; };
#define NORM_WORKGROUP gl_WorkGroupSize.x
#include "shaders/bodies/rms_norm.glsl"

void main() { rms_norm_body(linear_workgroup()); }
