#version 460
#extension GL_GOOGLE_include_directive : require
// attend_merge: joins the splits of attend_decode, in index order, into the normalised result.
//
// In     args.partials f32 [column_count][q_heads][split_count][v_dim + 2] as attend_decode wrote them; args.columns.
// Out    args.dst f32 [column_count][q_heads * v_dim]; padding columns get zeros.
// Grid   x: elements of a head; y: query heads; z: columns. An invocation owns one element of dst.
// Spec   workgroup; SPLIT_SLOTS as in attend_decode.
// Bytes  the partials once (maxima and weights once an element, from the cache), dst once.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint SPLIT_SLOTS = 128;
layout(push_constant) uniform Push { AttendMergeArgs args; };

void main() {
  const uint element = gl_GlobalInvocationID.x;
  const uint head = gl_WorkGroupID.y;
  const uint column = gl_WorkGroupID.z;
  if (element >= args.v_dim) return;
  const uint at_dst = (column * args.q_heads + head) * args.v_dim + element;
  const ColumnInfo info = ColumnInfos(args.columns).at[column];
  if (info.sequence == PADDING_COLUMN) {
    Floats(args.dst).at[at_dst] = 0.0;
    return;
  }
  const uint first_split = first_visible_slot(info.slot, args.window) / SPLIT_SLOTS;
  const uint splits = min(info.slot / SPLIT_SLOTS - first_split + 1u, args.split_count);
  const uint stride = args.v_dim + 2u;
  const uint base = (column * args.q_heads + head) * args.split_count * stride;
  FloatsIn partials = FloatsIn(args.partials);

  float maximum = partials.at[base + args.v_dim];
  for (uint s = 1u; s < splits; ++s) maximum = max(maximum, partials.at[base + s * stride + args.v_dim]);
  precise float sum = 0.0;
  precise float weight = 0.0;
  for (uint s = 0u; s < splits; ++s) {
    const uint at = base + s * stride;
    const float factor = exp(partials.at[at + args.v_dim] - maximum);
    sum = fma(factor, partials.at[at + element], sum);
    weight = fma(factor, partials.at[at + args.v_dim + 1u], weight);
  }
  Floats(args.dst).at[at_dst] = sum / weight;
}
