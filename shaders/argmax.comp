#version 460
#extension GL_GOOGLE_include_directive : require
// argmax: the largest finite logit of each row, lowest index first among equals, and how many logits are not finite.
//
// In     args.logits f32 [row_count][vocabulary].
// Out    args.results ArgmaxResult[row_count]; a row without a finite logit gives index 0 and minus infinity.
// Grid   x, y: rows. A workgroup owns one row; an invocation every workgroup-th logit of it.
// Spec   workgroup.
// Bytes  the logits once.
#include "shaders/common.glsl"
layout(push_constant) uniform Push { ArgmaxArgs argmax_args; };
#include "shaders/bodies/argmax.glsl"

void main() { argmax_body(linear_workgroup()); }
