// The body of rms_norm (rms_norm.comp says what it computes).
#include "shaders/norm_factor.glsl"
#define args rms_norm_args

void norm_element(uint base, uint k, float factor, bool adds) {
  const uint at = base + k * COLUMN_TILE;
  precise float result = FloatsIn(args.src).at[at] * factor * FloatsIn(args.weight).at[k];
  if (adds) result += FloatsIn(args.residual).at[at];
  Floats(args.dst).at[at] = result;
}

void rms_norm_body(uint column_tile) {
  const uint base = column_tile * args.width * COLUMN_TILE + gl_LocalInvocationID.x % COLUMN_TILE;
  if (column_tile * COLUMN_TILE >= args.column_count) return;

  const float factor = norm_factor(FloatsIn(args.src), base, args.width, args.epsilon);
  const bool adds = !is_null(args.residual);
  const uint parts = gl_WorkGroupSize.x / COLUMN_TILE;
  uint k = gl_LocalInvocationID.x / COLUMN_TILE;
  for (; k + (kNormUnroll - 1u) * parts < args.width; k += kNormUnroll * parts)
    for (uint i = 0u; i < kNormUnroll; ++i) norm_element(base, k + i * parts, factor, adds);
  for (; k < args.width; k += parts) norm_element(base, k, factor, adds);
}

#undef args
