#version 460
#extension GL_GOOGLE_include_directive : require
// gated_activation: dst[i, n] = f(gate[i, n]) * up[i, n], f = silu or gelu.
//
// In     args.gate_up f32 activation [2 * width][column_count]: gate rows, then up rows.
// Out    args.dst f32 activation [width][column_count].
// Grid   x, y: elements of a tile of columns; z: tiles. An invocation owns one element of dst.
// Spec   workgroup, COLUMN_TILE, FUNCTION (GATE_SILU, GATE_GELU).
// Both functions are x / (1 + exp(-t)): silu with t = x; gelu's tanh form with t = 2 sqrt(2 / pi) (x + 0.044715 x^3).
// Bytes  gate_up and dst once.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(constant_id = 2) const uint FUNCTION = 0;
layout(push_constant) uniform Push { GatedActivationArgs args; };

const float kTwiceRootOfTwoByPi = 1.5957691216057308;
const float kCubic = 0.044715;

void main() {
  const uint tile_elements = args.width * COLUMN_TILE;
  const uint index = linear_invocation();
  if (index >= tile_elements) return;
  const uint gate_at = gl_WorkGroupID.z * 2u * tile_elements + index;
  const float gate = FloatsIn(args.gate_up).at[gate_at];
  float slope = gate;
  if (FUNCTION == GATE_GELU) {
    precise const float bent = kTwiceRootOfTwoByPi * (gate + kCubic * gate * gate * gate);
    slope = bent;
  }
  precise const float result = gate / (1.0 + exp(-slope)) * FloatsIn(args.gate_up).at[gate_at + tile_elements];
  Floats(args.dst).at[gl_WorkGroupID.z * tile_elements + index] = result;
}
