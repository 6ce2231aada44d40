// The body of head_norm (head_norm.comp says what it computes).
#include "shaders/norm_factor.glsl"
#define args head_norm_args

void head_norm_body(uint head, uint column_tile) {
  if (head >= args.q_heads + args.kv_heads) return;
  const uint column = column_tile * COLUMN_TILE + gl_LocalInvocationID.x % COLUMN_TILE;
  const uint base = activation_index(head * args.k_dim, column, args.width, COLUMN_TILE);

  const float factor = norm_factor(FloatsIn(args.qkv), base, args.k_dim, args.epsilon);
  FloatsIn weight = FloatsIn(head < args.q_heads ? args.query_weight : args.key_weight);
  // An invocation writes what it alone reads from here on.
  for (uint k = gl_LocalInvocationID.x / COLUMN_TILE; k < args.k_dim; k += gl_WorkGroupSize.x / COLUMN_TILE) {
    const uint at = base + k * COLUMN_TILE;
    precise const float result = Floats(args.qkv).at[at] * factor * weight.at[k];
    Floats(args.qkv).at[at] = result;
  }
}

#undef args
