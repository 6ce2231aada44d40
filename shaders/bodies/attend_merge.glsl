// The body of attend_merge (attend_merge.comp says what it computes).
#include "shaders/lane_words.glsl"
#include "shaders/page_lanes.glsl"
#define args attend_merge_args

// sum and weight with a split's: factor times its sum, a partial result, and times its weight.
void add_split(float factor, float split_sum, float split_weight, inout float sum, inout float weight) {
  precise const float next_sum = fma(factor, split_sum, sum);
  precise const float next_weight = fma(factor, split_weight, weight);
  sum = next_sum;
  weight = next_weight;
}

// Of elements `first` + lane.
void attend_merge_body(uint first, uint head, uint column) {
  const uint element = first + own_lane();
  if (element >= V_DIM) return;
  const uint at_dst = (column * args.q_heads + head) * V_DIM + element;
  const ColumnInfo info = ColumnInfos(args.columns).at[column];
  if (info.sequence == PADDING_COLUMN) {
    Floats(args.dst).at[at_dst] = 0.0;
    return;
  }
  const uint first_split = first_visible_slot(info.slot, args.window) / SPLIT_SLOTS;
  const uint splits = min(info.slot / SPLIT_SLOTS - first_split + 1u, args.split_count);
  const uint stride = V_DIM + 2u;
  const uint base = (column * args.q_heads + head) * args.split_count * stride;
  FloatsIn partials = FloatsIn(args.partials);

  float maximum = partials.at[base + V_DIM];
  for (uint s = 1u; s < splits; ++s) maximum = max(maximum, partials.at[base + index_to_load(s, splits) * stride + V_DIM]);
  float sum = 0.0;
  float weight = 0.0;
  uint s = 0u;
#ifdef SUBGROUP_BROADCAST
  // The factors of as many splits as there are lanes at once, one a lane, and elements that the lanes load together.
  if (PAGE_LANES > 1u && splits >= LANES)
    [[dont_unroll]] for (; s + LANES <= splits; s += LANES) {
      const uint block = index_to_load(s, splits - LANES + 1u);
      const uint own = base + (block + own_lane()) * stride + V_DIM;
      const float factor = exp(partials.at[own] - maximum);
      const float split_weight = partials.at[own + 1u];
      const uvec2 sums = word_address(args.partials, base + block * stride + first);
      [[unroll]] for (uint i = 0u; i < LANES; ++i)
        add_split(subgroupBroadcast(factor, i), uintBitsToFloat(word_of_lane(sums, i * stride)), subgroupBroadcast(split_weight, i), sum, weight);
    }
#endif
  [[dont_unroll]] for (; s < splits; ++s) {
    const uint at = base + index_to_load(s, splits) * stride;
    add_split(exp(partials.at[at + V_DIM] - maximum), partials.at[at + element], partials.at[at + V_DIM + 1u], sum, weight);
  }
  Floats(args.dst).at[at_dst] = sum / weight;
}

#undef args
