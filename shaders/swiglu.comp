#version 460
#extension GL_GOOGLE_include_directive : require
// swiglu: dst[i, n] = silu(gate[i, n]) * up[i, n], silu(x) = x / (1 + exp(-x)).
//
// In     args.gate_up f32 activation [2 * width][column_count]: gate rows, then up rows.
// Out    args.dst f32 activation [width][column_count].
// Grid   x, y: elements of a tile of columns; z: tiles. An invocation owns one element of dst.
// Spec   workgroup, COLUMN_TILE.
// Bytes  gate_up and dst once.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(push_constant) uniform Push { SwigluArgs args; };

void main() {
  const uint tile_elements = args.width * COLUMN_TILE;
  const uint index = linear_invocation();
  if (index >= tile_elements) return;
  const uint gate_at = gl_WorkGroupID.z * 2u * tile_elements + index;
  const float gate = FloatsIn(args.gate_up).at[gate_at];
  precise const float result = gate / (1.0 + exp(-gate)) * FloatsIn(args.gate_up).at[gate_at + tile_elements];
  Floats(args.dst).at[gl_WorkGroupID.z * tile_elements + index] = result;
}
