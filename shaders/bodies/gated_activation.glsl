// The body of gated_activation (gated_activation.comp says what it computes).
#include "shaders/common.glsl"
#define args gated_activation_args

const float kTwiceRootOfTwoByPi = 1.5957691216057308;
const float kCubic = 0.044715;

void gated_activation_body(uint index, uint column_tile) {
  const uint tile_elements = args.width * COLUMN_TILE;
  if (index >= tile_elements) return;
  const uint gate_at = column_tile * 2u * tile_elements + index;
  const float gate = FloatsIn(args.gate_up).at[gate_at];
  float slope = gate;
  if (FUNCTION == GATE_GELU) {
    precise const float bent = kTwiceRootOfTwoByPi * (gate + kCubic * gate * gate * gate);
    slope = bent;
  }
  precise const float result = gate / (1.0 + exp(-slope)) * FloatsIn(args.gate_up).at[gate_at + tile_elements];
  Floats(args.dst).at[column_tile * tile_elements + index] = result;
}

#undef args
