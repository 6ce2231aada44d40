// The body of gated_activation (gated_activation.comp says what it computes).
#include "shaders/common.glsl"
#include "shaders/gate_function.glsl"
#define args gated_activation_args

void gated_activation_body(uint index, uint column_tile) {
  const uint tile_elements = args.width * COLUMN_TILE;
  if (index >= tile_elements) return;
  const uint gate_at = column_tile * 2u * tile_elements + index;
  Floats(args.dst).at[column_tile * tile_elements + index] =
      gated(FUNCTION, FloatsIn(args.gate_up).at[gate_at], FloatsIn(args.gate_up).at[gate_at + tile_elements]);
}

#undef args
