// The body of rms_norm (rms_norm.comp says what it computes).
#include "shaders/norm_factor.glsl"
#define args rms_norm_args

void rms_norm_body(uint column_tile) {
  const uint base = column_tile * args.width * COLUMN_TILE + gl_LocalInvocationID.x % COLUMN_TILE;
  if (column_tile * COLUMN_TILE >= args.column_count) return;

  FloatsIn src = FloatsIn(args.src);
  const float factor = norm_factor(src, base, args.width, args.epsilon);
  const bool adds = !is_null(args.residual);
  for (uint k = gl_LocalInvocationID.x / COLUMN_TILE; k < args.width; k += gl_WorkGroupSize.x / COLUMN_TILE) {
    const uint at = base + k * COLUMN_TILE;
    precise float result = src.at[at] * factor * FloatsIn(args.weight).at[k];
    if (adds) result += FloatsIn(args.residual).at[at];
    Floats(args.dst).at[at] = result;
  }
}

#undef args
