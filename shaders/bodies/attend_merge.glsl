// The body of attend_merge (attend_merge.comp says what it computes).
#include "shaders/common.glsl"
#define args attend_merge_args

void attend_merge_body(uint element, uint head, uint column) {
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
  for (uint s = 1u; s < splits; ++s) maximum = max(maximum, partials.at[base + index_to_load(s, splits) * stride + args.v_dim]);
  precise float sum = 0.0;
  precise float weight = 0.0;
  for (uint s = 0u; s < splits; ++s) {
    const uint at = base + index_to_load(s, splits) * stride;
    const float factor = exp(partials.at[at + args.v_dim] - maximum);
    sum = fma(factor, partials.at[at + element], sum);
    weight = fma(factor, partials.at[at + args.v_dim + 1u], weight);
  }
  Floats(args.dst).at[at_dst] = sum / weight;
}

#undef args
