// The body of argmax (argmax.comp says what it computes).
#include "shaders/common.glsl"
#define args argmax_args

layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer ArgmaxResults { ArgmaxResult at[]; };

const uint kNone = 0xffffffffu;
#define MINUS_INFINITY uintBitsToFloat(0xff800000u)
shared float best_value[gl_WorkGroupSize.x];
shared uint best_index[gl_WorkGroupSize.x];
shared uint non_finite[gl_WorkGroupSize.x];

bool is_finite(float x) { return (floatBitsToUint(x) & 0x7f800000u) != 0x7f800000u; }

void argmax_body(uint row) {
  if (row >= args.row_count) return;
  const uint lane = gl_LocalInvocationID.x;
  FloatsIn logits = FloatsIn(args.logits);

  float value = MINUS_INFINITY;
  uint index = kNone;
  uint strange = 0u;
  for (uint i = lane; i < args.vocabulary; i += gl_WorkGroupSize.x) {
    const float x = logits.at[row * args.vocabulary + i];
    const bool finite = is_finite(x);
    strange += finite ? 0u : 1u;
    if (finite && (index == kNone || x > value)) {
      value = x;
      index = i;
    }
  }
  best_value[lane] = value;
  best_index[lane] = index;
  non_finite[lane] = strange;
  barrier();
  if (lane != 0u) return;

  for (uint other = 1u; other < gl_WorkGroupSize.x; ++other) {
    strange += non_finite[other];
    const float x = best_value[other];
    const uint i = best_index[other];
    if (i != kNone && (index == kNone || x > value || (x == value && i < index))) {
      value = x;
      index = i;
    }
  }
  ArgmaxResults(args.results).at[row] = ArgmaxResult(index == kNone ? 0u : index, value, strange, 0u);
}

#undef args
