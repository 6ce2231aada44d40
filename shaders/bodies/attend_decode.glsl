// The body of attend_decode (attend_decode.comp says what it computes).
#include "shaders/page_lanes.glsl"
#include "shaders/page_rows.glsl"
#define args attend_decode_args
#include "shaders/bodies/attend_decode_keys.glsl"

const uint SUMS = GROUP_HEADS * LANE_PAIRS;
const float kUnseen = -3.0e38;
shared float weights[SPLIT_SLOTS * GROUP_HEADS];  // [slot][head]: scores, then exp(score - m)
shared float invocation_maximum[gl_WorkGroupSize.x * GROUP_HEADS];
shared float invocation_weight[gl_WorkGroupSize.x * GROUP_HEADS];

// Adds the weighted V row of a slot, number `split_slot` of the split, for LANE_PAIRS pairs of dimensions: with PAGE_LANES > 1 the lane's behind each.
void add_row(PageRows rows, uint format, const uint pair[LANE_PAIRS], uint slot, uint split_slot, inout vec2 sum[SUMS]) {
  vec2 v[LANE_PAIRS];
  [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i) {
#ifdef SUBGROUP_BROADCAST
    if (PAGE_LANES > 1u) {
      v[i] = load2_of_lanes(pairs_of_lanes(rows, format, slot, pair[0]), format, V_DIM, 0u, i * LANES, LANES);
      continue;
    }
#endif
    v[i] = load2(rows, format, slot, pair[i]);
  }
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
    const vec2 weight = vec2(weights[split_slot * GROUP_HEADS + h]);
    [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i) {
      precise const vec2 next = fma(weight, v[i], sum[h * LANE_PAIRS + i]);
      sum[h * LANE_PAIRS + i] = next;
    }
  }
}

#ifdef SUBGROUP_BROADCAST
// As add_row, of LANES slots from `first` on, the first one number `split_slot` of the split. The lanes have the weights of one slot each and hand them
// round: every load from shared memory is bounds-checked.
void add_rows_of_lanes(PageRows rows, uint format, const uint pair[LANE_PAIRS], uint first, uint split_slot, inout vec2 sum[SUMS]) {
  const PairsOfLanes pairs = pairs_of_lanes(rows, format, first, pair[0]);
  float own[GROUP_HEADS];
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) own[h] = weights[(split_slot + gl_SubgroupInvocationID) * GROUP_HEADS + h];
  [[unroll]] for (uint s = 0u; s < LANES; ++s) {
    vec2 v[LANE_PAIRS];
    [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i) v[i] = load2_of_lanes(pairs, format, V_DIM, s, i * LANES, LANES);
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      const vec2 weight = vec2(subgroupBroadcast(own[h], s));
      [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i) {
        precise const vec2 next = fma(weight, v[i], sum[h * LANE_PAIRS + i]);
        sum[h * LANE_PAIRS + i] = next;
      }
    }
  }
}
#endif

// Adds the weighted V rows of slots [begin, end) of the page, whose slot 0 is number `page_slot` of the split.
void add_values(PageRows rows, uint format, const uint pair[LANE_PAIRS], uint begin, uint end, uint page_slot, inout vec2 sum[SUMS]) {
  rows.row_code_bytes = page_row_code_bytes(format, V_DIM);
  rows.row_scale_bytes = page_row_scale_bytes(format, V_DIM);
  uint at = begin;
#ifdef SUBGROUP_BROADCAST
  // Not for f32: a compiler's memory and time grow with the code.
  if (PAGE_LANES > 1u && format != PAGE_FORMAT_F32) {
    const uint aligned = min((begin + LANES - 1u) / LANES * LANES, end);
    [[dont_unroll]] for (; at < aligned; ++at) {
      const uint slot = index_to_load(at, aligned);
      add_row(rows, format, pair, slot, page_slot + slot, sum);
    }
    [[dont_unroll]] for (; at + LANES <= end; at += LANES) {
      const uint slot = index_to_load(at, args.page.tokens - LANES + 1u);
      add_rows_of_lanes(rows, format, pair, slot, page_slot + slot, sum);
    }
  }
#endif
  [[dont_unroll]] for (; at < end; ++at) {
    const uint slot = index_to_load(at, end);
    add_row(rows, format, pair, slot, page_slot + slot, sum);
  }
}

// Makes the maxima those of all invocations.
void join_maxima(uint lane, inout float maximum[GROUP_HEADS]) {
#ifdef SUBGROUP_BROADCAST
  if (PAGE_LANES > 1u) {
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      const float own = maximum[h];
      [[unroll]] for (uint i = 0u; i < LANES; ++i) maximum[h] = max(maximum[h], subgroupBroadcast(own, i));
    }
    return;
  }
#endif
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) invocation_maximum[lane * GROUP_HEADS + h] = maximum[h];
  barrier();
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h)
    for (uint i = 0u; i < gl_WorkGroupSize.x; ++i) maximum[h] = max(maximum[h], invocation_maximum[i * GROUP_HEADS + h]);
}

// Lets all invocations read `weights` and sum_of_weights, where `own` are the sums of the weights that this one has computed. With PAGE_LANES > 1
// the lanes are those of a processor's vectors, which run in step: order is enough, and for a barrier its compiler would keep all variables in memory.
void share_weights(uint lane, float own[GROUP_HEADS]) {
#ifdef SUBGROUP_BROADCAST
  if (PAGE_LANES > 1u) {
    subgroupMemoryBarrierShared();
    return;
  }
#endif
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) invocation_weight[lane * GROUP_HEADS + h] = own[h];
  barrier();
}

float sum_of_weights(uint h, float own) {
  precise float sum = 0.0;
#ifdef SUBGROUP_BROADCAST
  if (PAGE_LANES > 1u) {
    [[unroll]] for (uint i = 0u; i < LANES; ++i) sum += subgroupBroadcast(own, i);
    return sum;
  }
#endif
  for (uint i = 0u; i < gl_WorkGroupSize.x; ++i) sum += invocation_weight[i * GROUP_HEADS + h];
  return sum;
}

void attend_decode_body(uvec3 workgroup) {
  const PageShape shape = args.page;
  const uint lane = own_lane();
  const uint column = workgroup.z;
  const uint group_size = args.q_heads / shape.kv_heads;
  const uint passes = (group_size + GROUP_HEADS - 1u) / GROUP_HEADS;
  const uint kv_head = workgroup.y / passes;
  const uint first_head = workgroup.y % passes * GROUP_HEADS;  // within the group
  const ColumnInfo info = ColumnInfos(args.columns).at[column];
  if (info.sequence == PADDING_COLUMN) return;

  const uint visible = first_visible_slot(info.slot, args.window);
  const uint split = visible / SPLIT_SLOTS + workgroup.x;
  if (split > info.slot / SPLIT_SLOTS) return;
  SequenceInfo sequence = SequenceInfos(args.sequences).at[info.sequence];
  const uint split_slot = split * SPLIT_SLOTS;
  const uint begin = max(split_slot, visible);
  const uint end = min(min(split_slot + SPLIT_SLOTS, info.slot + 1u), sequence.page_count * shape.tokens);

  // Heads past the group's last repeat it and are not stored.
  uint head[GROUP_HEADS];
  uint q_at[GROUP_HEADS];
  float maximum[GROUP_HEADS];
  float weight[GROUP_HEADS];
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
    head[h] = kv_head * group_size + min(first_head + h, group_size - 1u);
    q_at[h] = (column * args.q_heads + head[h]) * (K_DIM / 4u);
    maximum[h] = kUnseen;
    weight[h] = 0.0;
  }

  // Keys: an invocation takes slots split_slot + lane, + workgroup, ...
  for (uint base = 0u; base < SPLIT_SLOTS && split_slot + base < end; base += LANE_KEYS * gl_WorkGroupSize.x) {
    Key key[LANE_KEYS];
    [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
      key[j] = find_key(sequence.table, split_slot + base + j * gl_WorkGroupSize.x, begin, end, kv_head);
    }
    float score[SCORES];
    [[unroll]] for (uint i = 0u; i < SCORES; ++i) score[i] = 0.0;
    // A format named by a constant lets the compiler keep the choice out of the loop.
    add_scores(PAGE_FORMAT_F16, key, q_at, score);
    add_scores(PAGE_FORMAT_F32, key, q_at, score);
    add_scores(PAGE_FORMAT_Q8, key, q_at, score);
    [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j)
      [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
        const float scaled = key[j].valid ? args.scale * score[h * LANE_KEYS + j] : kUnseen;
        const uint i = base + j * gl_WorkGroupSize.x + lane;
        if (i < SPLIT_SLOTS) weights[i * GROUP_HEADS + h] = scaled;
        maximum[h] = max(maximum[h], scaled);
      }
  }
  join_maxima(lane, maximum);
  for (uint i = lane; i < SPLIT_SLOTS; i += gl_WorkGroupSize.x) {
    if (split_slot + i < begin || split_slot + i >= end) continue;
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      const float term = exp(weights[i * GROUP_HEADS + h] - maximum[h]);
      weights[i * GROUP_HEADS + h] = term;
      weight[h] += term;
    }
  }
  share_weights(lane, weight);

  // Values: an invocation takes pairs of dimensions lane, lane + workgroup, ...; past the last it repeats that and stores nothing.
  Floats partials = Floats(args.partials);
  const uint stride = V_DIM + 2u;
  const uint pairs = V_DIM / 2u;
  for (uint first = 0u; first < pairs; first += LANE_PAIRS * gl_WorkGroupSize.x) {
    uint pair[LANE_PAIRS];
    [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i)
      pair[i] = PAGE_LANES > 1u ? min(first, pairs - LANE_PAIRS * PAGE_LANES) + i * PAGE_LANES : min(first + i * gl_WorkGroupSize.x + lane, pairs - 1u);
    vec2 sum[SUMS];
    [[unroll]] for (uint i = 0u; i < SUMS; ++i) sum[i] = vec2(0.0);
    const uint end_page = (end + shape.tokens - 1u) / shape.tokens;
    for (uint at = begin / shape.tokens; at < end_page; ++at) {
      const uint page = index_to_load(at, end_page);
      PageEntry entry = PageEntries(sequence.table).at[page];
      if (is_null(entry.page)) continue;
      const uint page_slot = page * shape.tokens;
      const uint low = max(begin, page_slot) - page_slot;
      const uint high = min(end - page_slot, shape.tokens);
      PageRows v = v_rows(entry, shape, args.layer, kv_head);
      if (v.format == PAGE_FORMAT_F32)
        add_values(v, PAGE_FORMAT_F32, pair, low, high, page_slot - split_slot, sum);
      else if (v.format == PAGE_FORMAT_Q8)
        add_values(v, PAGE_FORMAT_Q8, pair, low, high, page_slot - split_slot, sum);
      else
        add_values(v, PAGE_FORMAT_F16, pair, low, high, page_slot - split_slot, sum);
    }
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      const uint at = ((column * args.q_heads + head[h]) * args.split_count + workgroup.x) * stride;
      [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i)
        if (first_head + h < group_size && first + i * gl_WorkGroupSize.x + lane < pairs) {
          const uint element = at + 2u * (first + i * gl_WorkGroupSize.x + lane);
          partials.at[element] = sum[h * LANE_PAIRS + i].x;
          partials.at[element + 1u] = sum[h * LANE_PAIRS + i].y;
        }
    }
  }
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
    const float total = sum_of_weights(h, weight[h]);
    const uint at = ((column * args.q_heads + head[h]) * args.split_count + workgroup.x) * stride + V_DIM;
    if (lane == 0u && first_head + h < group_size) {
      partials.at[at] = maximum[h];
      partials.at[at + 1u] = total;
    }
  }
}

#undef args
