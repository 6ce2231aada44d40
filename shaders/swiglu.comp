#version 460
#extension GL_GOOGLE_include_directive : require
// swiglu: dst[i, n] = silu(gate[i, n]) * up[i, n], silu(x) = x / (1 + exp(-x)).
//
// In     args.gate_up f32 activation [2 * width][column_count]: gate rows, then up rows.
// Out    args.dst f32 activation [width][column_count].
// Grid   linear; an invocation owns one element of dst. Within a tile of columns elements keep their order, so that a tile is a plain array.
// Spec   workgroup, COLUMN_TILE.
// Bytes  gate_up and dst once.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(push_constant) uniform Push { SwigluArgs args; };

void main() {
  const uint index = linear_invocation();
  if (index >= args.width * args.column_count) return;
  const uint tile_elements = args.width * COLUMN_TILE;
  const uint gate_at = index + index / tile_elements * tile_elements;
  const float gate = FloatsIn(args.gate_up).at[gate_at];
  precise const float result = gate / (1.0 + exp(-gate)) * FloatsIn(args.gate_up).at[gate_at + tile_elements];
  Floats(args.dst).at[index] = result;
}
