#version 460
#extension GL_GOOGLE_include_directive : require
// gated_activation: dst[i, n] = f(gate[i, n]) * up[i, n], f = silu or gelu.
//
// In     args.gate_up f32 activation [2 * width][column_count]: gate rows, then up rows.
// Out    args.dst f32 activation [width][column_count].
// Grid   x, y: elements of a tile of columns; z: tiles. An invocation owns one element of dst.
// Spec   workgroup, COLUMN_TILE, FUNCTION (GATE_SILU, GATE_GELU).
// Bytes  gate_up and dst once.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(constant_id = 2) const uint FUNCTION = 0;
layout(push_constant) uniform Push { GatedActivationArgs gated_activation_args; };
#include "shaders/bodies/gated_activation.glsl"

void main() { gated_activation_body(linear_invocation(), gl_WorkGroupID.z); }
