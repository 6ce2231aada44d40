// The body of attend_decode (attend_decode.comp says what it computes).
#include "shaders/page_rows.glsl"
#define args attend_decode_args

const uint SCORES = GROUP_HEADS * LANE_KEYS;
const uint SUMS = GROUP_HEADS * LANE_PAIRS;
const uint SLOTS_AT_ONCE = 4u;                           // of V, with PAGE_LANES > 1: a page has no fewer
const uint EIGHTHS_AT_ONCE = PAGE_LANES > 1u ? 2u : 1u;  // of a row of K
const float kUnseen = -3.0e38;
shared float weights[SPLIT_SLOTS * GROUP_HEADS];  // [slot][head]: scores, then exp(score - m)
shared float invocation_maximum[gl_WorkGroupSize.x * GROUP_HEADS];
shared float invocation_weight[gl_WorkGroupSize.x * GROUP_HEADS];

// A key that an invocation scores. With PAGE_LANES > 1 the lanes' keys are neighbours in one page: `rows` and `slot`, of lane 0, are the same in all.
struct Key {
  PageRows rows;
  uint slot;     // within the page
  bool present;  // there is a page
  bool valid;    // it has the key
};

// Of slot `first` + lane.
Key find_key(Bytes table, uint first, uint begin, uint end, uint kv_head) {
  const uint lane = gl_LocalInvocationID.x;
  const uint slot = PAGE_LANES > 1u ? first : first + lane;
  const bool inside = PAGE_LANES > 1u ? first + PAGE_LANES > begin && first < end : slot >= begin && slot < end;
  Key key;
  PageEntry entry = PageEntries(table).at[(inside ? slot : begin) / args.page.tokens];
  key.present = inside && !is_null(entry.page);
  key.valid = key.present && first + lane >= begin && first + lane < end;
  key.rows = k_rows(entry, args.page, args.layer, kv_head);
  key.slot = slot % args.page.tokens;
  return key;
}

#ifdef SUBGROUP_BROADCAST
// As load8, of the rows of neighbouring slots, one a lane, from the addresses in lane 0's row on.
void load8_of_lanes(uvec2 codes, uvec2 scales, uint format, out vec4 low, out vec4 high) {
  const uint row_code_bytes = page_row_code_bytes(format, args.page.k_dim);
  const uint row_scale_bytes = page_row_scale_bytes(format, args.page.k_dim);
  uvec4 words = uvec4(0u);
  uvec4 more = uvec4(0u);
  [[unroll]] for (uint lane = 0u; lane < LANES; ++lane) {
    const bvec4 own = bvec4(gl_SubgroupInvocationID == lane);
    if (format == PAGE_FORMAT_F32) {
      const uvec4 first = Words4In(codes).at[lane * (row_code_bytes / 16u)];
      const uvec4 second = Words4In(codes).at[lane * (row_code_bytes / 16u) + 1u];
      words = mix(words, first, own);
      more = mix(more, second, own);
    } else if (format == PAGE_FORMAT_Q8) {
      const uvec2 bytes = Words2In(codes).at[lane * (row_code_bytes / 8u)];
      const uint half_scale = uint(HalvesIn(scales).at[lane * (row_scale_bytes / 2u)]);
      words = mix(words, uvec4(bytes, half_scale, 0u), own);
    } else {
      const uvec4 halves = Words4In(codes).at[lane * (row_code_bytes / 16u)];
      words = mix(words, halves, own);
    }
  }
  if (format == PAGE_FORMAT_F32) {
    low = uintBitsToFloat(words);
    high = uintBitsToFloat(more);
  } else if (format == PAGE_FORMAT_Q8) {
    const float scale_of_lane = unpackHalf2x16(words.z).x;
    low = scale_of_lane * signed_bytes(words.x);
    high = scale_of_lane * signed_bytes(words.y);
  } else {
    low = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
    high = vec4(unpackHalf2x16(words.z), unpackHalf2x16(words.w));
  }
}
#endif

// score[h * LANE_KEYS + j] += q of head h . K of key j, for the keys in pages of the format; q_at[h] is the first element of head h's q, in vec4s.
void add_scores(uint format, Key key[LANE_KEYS], const uint q_at[GROUP_HEADS], inout float score[SCORES]) {
  bool chosen[LANE_KEYS];
  bool any_chosen = false;
  [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
    chosen[j] = key[j].present && key[j].rows.format == format;
    any_chosen = any_chosen || chosen[j];
  }
  if (!any_chosen) return;
#ifdef SUBGROUP_BROADCAST
  // For a key that is not chosen the lanes read a chosen one's rows once more: a choice inside the loop costs more.
  uvec2 codes[LANE_KEYS];
  uvec2 scales[LANE_KEYS];
  uvec2 chosen_codes = uvec2(0u);
  uvec2 chosen_scales = uvec2(0u);
  [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
    codes[j] = address_after(uvec2(key[j].rows.page), key[j].rows.codes + key[j].slot * key[j].rows.row_code_bytes);
    scales[j] = address_after(uvec2(key[j].rows.page), key[j].rows.scales + key[j].slot * key[j].rows.row_scale_bytes);
    chosen_codes = chosen[j] ? codes[j] : chosen_codes;
    chosen_scales = chosen[j] ? scales[j] : chosen_scales;
  }
  [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
    codes[j] = chosen[j] ? codes[j] : chosen_codes;
    scales[j] = chosen[j] ? scales[j] : chosen_scales;
  }
  const uint eighth_bytes = 8u * page_row_code_bytes(format, PAGE_GROUP) / PAGE_GROUP;
#endif
  float before[SCORES];
  [[unroll]] for (uint i = 0u; i < SCORES; ++i) before[i] = score[i];
  const uint rounds = args.page.k_dim / (8u * EIGHTHS_AT_ONCE);
  [[dont_unroll]] for (uint at = 0u; at < rounds; ++at) {
    const uint first = index_to_load(at, rounds) * EIGHTHS_AT_ONCE;
    [[unroll]] for (uint e = 0u; e < EIGHTHS_AT_ONCE; ++e) {
      const uint d = first + e;
      vec4 low[LANE_KEYS];
      vec4 high[LANE_KEYS];
      [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
#ifdef SUBGROUP_BROADCAST
        if (PAGE_LANES > 1u) {
          const uvec2 scale = address_after(scales[j], d / (PAGE_GROUP / 8u) * 2u);
          load8_of_lanes(address_after(codes[j], d * eighth_bytes), scale, format, low[j], high[j]);
          continue;
        }
#endif
        low[j] = vec4(0.0);
        high[j] = vec4(0.0);
        if (chosen[j]) load8(key[j].rows, format, key[j].slot, d, low[j], high[j]);
      }
      [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
        const vec4 q_low = Floats4In(args.q).at[q_at[h] + 2u * d];
        const vec4 q_high = Floats4In(args.q).at[q_at[h] + 2u * d + 1u];
        [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
          precise const vec4 products = fma(q_high, high[j], q_low * low[j]);
          precise const float sum = score[h * LANE_KEYS + j] + ((products.x + products.y) + (products.z + products.w));
          score[h * LANE_KEYS + j] = sum;
        }
      }
    }
  }
  if (PAGE_LANES > 1u)
    [[unroll]] for (uint i = 0u; i < SCORES; ++i) score[i] = chosen[i % LANE_KEYS] ? score[i] : before[i];
}

// Adds the weighted V rows of `count` slots from `first` on, the first one number `split_slot` of the split, for LANE_PAIRS pairs of dimensions: with
// PAGE_LANES > 1 the lane's behind each. Requires: count <= SLOTS_AT_ONCE.
void add_rows(PageRows rows, uint format, const uint pair[LANE_PAIRS], const uint count, uint first, uint split_slot, inout vec2 sum[SUMS]) {
  vec2 v[SLOTS_AT_ONCE * LANE_PAIRS];
  [[unroll]] for (uint s = 0u; s < count; ++s)
    [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i) {
#ifdef SUBGROUP_BROADCAST
      if (PAGE_LANES > 1u) v[s * LANE_PAIRS + i] = load2_of_lanes(rows, format, first + s, pair[i], LANES);
      else v[s * LANE_PAIRS + i] = load2(rows, format, first + s, pair[i]);
#else
      v[s * LANE_PAIRS + i] = load2(rows, format, first + s, pair[i]);
#endif
    }
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h)
    [[unroll]] for (uint s = 0u; s < count; ++s) {
      const vec2 weight = vec2(weights[(split_slot + s) * GROUP_HEADS + h]);
      [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i) {
        precise const vec2 next = fma(weight, v[s * LANE_PAIRS + i], sum[h * LANE_PAIRS + i]);
        sum[h * LANE_PAIRS + i] = next;
      }
    }
}

// Adds the weighted V rows of slots [begin, end) of the page, whose slot 0 is number `page_slot` of the split.
void add_values(PageRows rows, uint format, const uint pair[LANE_PAIRS], uint begin, uint end, uint page_slot, inout vec2 sum[SUMS]) {
  uint at = begin;
  // Not for f32, nor lane by lane: a compiler's memory and time grow with the code.
  if (PAGE_LANES > 1u && format != PAGE_FORMAT_F32)
    [[dont_unroll]] for (; at + SLOTS_AT_ONCE <= end; at += SLOTS_AT_ONCE) {
      const uint slot = index_to_load(at, args.page.tokens - SLOTS_AT_ONCE + 1u);
      add_rows(rows, format, pair, SLOTS_AT_ONCE, slot, page_slot + slot, sum);
    }
  [[dont_unroll]] for (; at < end; ++at) {
    const uint slot = index_to_load(at, end);
    add_rows(rows, format, pair, 1u, slot, page_slot + slot, sum);
  }
}

void attend_decode_body(uvec3 workgroup) {
  const PageShape shape = args.page;
  const uint lane = gl_LocalInvocationID.x;
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
    q_at[h] = (column * args.q_heads + head[h]) * (shape.k_dim / 4u);
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
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) invocation_maximum[lane * GROUP_HEADS + h] = maximum[h];
  barrier();
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h)
    for (uint i = 0u; i < gl_WorkGroupSize.x; ++i) maximum[h] = max(maximum[h], invocation_maximum[i * GROUP_HEADS + h]);
  for (uint i = lane; i < SPLIT_SLOTS; i += gl_WorkGroupSize.x) {
    if (split_slot + i < begin || split_slot + i >= end) continue;
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      const float term = exp(weights[i * GROUP_HEADS + h] - maximum[h]);
      weights[i * GROUP_HEADS + h] = term;
      weight[h] += term;
    }
  }
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) invocation_weight[lane * GROUP_HEADS + h] = weight[h];
  barrier();

  // Values: an invocation takes pairs of dimensions lane, lane + workgroup, ...; past the last it repeats that and stores nothing.
  Floats partials = Floats(args.partials);
  const uint stride = shape.v_dim + 2u;
  const uint pairs = shape.v_dim / 2u;
  for (uint first = 0u; first < pairs; first += LANE_PAIRS * gl_WorkGroupSize.x) {
    uint pair[LANE_PAIRS];
    [[unroll]] for (uint i = 0u; i < LANE_PAIRS; ++i)
      pair[i] = PAGE_LANES > 1u ? min(first + i * PAGE_LANES, pairs - PAGE_LANES) : min(first + i * gl_WorkGroupSize.x + lane, pairs - 1u);
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
  if (lane != 0u) return;
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
    precise float total = 0.0;
    for (uint i = 0u; i < gl_WorkGroupSize.x; ++i) total += invocation_weight[i * GROUP_HEADS + h];
    const uint at = ((column * args.q_heads + head[h]) * args.split_count + workgroup.x) * stride + shape.v_dim;
    if (first_head + h < group_size) {
      partials.at[at] = maximum[h];
      partials.at[at + 1u] = total;
    }
  }
}

#undef args
