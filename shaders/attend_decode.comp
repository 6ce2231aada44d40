#version 460
#extension GL_GOOGLE_include_directive : require
// attend_decode: attention of single queries over one split of their visible slots, unnormalised.
//
// In     args.q f32 [column_count][q_heads * k_dim]; args.columns; args.sequences; K and V through the sequence's pages.
// Out    args.partials f32 [column_count][q_heads][split_count][v_dim + 2]: sums of exp(score - m) V, then m, the largest score, then the sum of
//        exp(score - m). Splits past the column's slot and padding columns are not written.
// Grid   x: splits, counted from the column's first visible one; y: kv_heads * passes; z: columns. A workgroup owns one split for GROUP_HEADS query
//        heads that share a K/V head (fewer in the last pass). First an invocation owns whole keys, then pairs of dimensions.
// Spec   workgroup; SPLIT_SLOTS; GROUP_HEADS, query heads served by one reading of K and V.
// Sums   f32. A score: pairs of eight elements in order; the weights' sum: an invocation's keys in order, then invocations in order; a dimension's sum:
//        slots in order. All are functions of the slot's index, the shape and the specialization.
// Bytes  K and V of the split once a pass; shared memory 4 * GROUP_HEADS * (SPLIT_SLOTS + 2 * workgroup).
#include "shaders/page_rows.glsl"
layout(constant_id = 1) const uint SPLIT_SLOTS = 128;
layout(constant_id = 2) const uint GROUP_HEADS = 1;
layout(push_constant) uniform Push { AttendDecodeArgs args; };

const float kUnseen = -3.0e38;
shared float weights[SPLIT_SLOTS * GROUP_HEADS];  // [slot][head]: scores, then exp(score - m)
shared float invocation_maximum[gl_WorkGroupSize.x * GROUP_HEADS];
shared float invocation_weight[gl_WorkGroupSize.x * GROUP_HEADS];

// Adds q . K for the row at `row` of the page to each head's score; q_at[h] is the first element of head h's q, in vec4s.
void add_scores(uvec2 page, uint format, uint row, const uint q_at[GROUP_HEADS], inout float score[GROUP_HEADS]) {
  for (uint d = 0u; d < args.page.k_dim / 8u; ++d) {
    vec4 low, high;
    load8(page, format, row, d, low, high);
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      precise const vec4 products =
          fma(Floats4In(args.q).at[q_at[h] + 2u * d + 1u], high, Floats4In(args.q).at[q_at[h] + 2u * d] * low);
      precise const float sum = score[h] + ((products.x + products.y) + (products.z + products.w));
      score[h] = sum;
    }
  }
}

// Adds the weighted V rows of slots [begin, end) of the page, whose slot 0 is number `page_slot` of the split, for one pair of dimensions.
void add_values(uvec2 page, uint format, uint region, uint row_bytes, uint pair, uint begin, uint end, uint page_slot, inout vec2 sum[GROUP_HEADS]) {
  for (uint slot = begin; slot < end; ++slot) {
    const vec2 v = load2(page, format, region + slot * row_bytes, pair);
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      precise const vec2 next = fma(vec2(weights[(page_slot + slot) * GROUP_HEADS + h]), v, sum[h]);
      sum[h] = next;
    }
  }
}

void main() {
  const PageShape shape = args.page;
  const uint lane = gl_LocalInvocationID.x;
  const uint column = gl_WorkGroupID.z;
  const uint group_size = args.q_heads / shape.kv_heads;
  const uint passes = (group_size + GROUP_HEADS - 1u) / GROUP_HEADS;
  const uint kv_head = gl_WorkGroupID.y / passes;
  const uint first_head = gl_WorkGroupID.y % passes * GROUP_HEADS;  // within the group
  const ColumnInfo info = ColumnInfos(args.columns).at[column];
  if (info.sequence == PADDING_COLUMN) return;

  const uint visible = first_visible_slot(info.slot, args.window);
  const uint split = visible / SPLIT_SLOTS + gl_WorkGroupID.x;
  if (split > info.slot / SPLIT_SLOTS) return;
  const SequenceInfo sequence = SequenceInfos(args.sequences).at[info.sequence];
  const uint split_slot = split * SPLIT_SLOTS;
  const uint begin = max(split_slot, visible);
  const uint end = min(min(split_slot + SPLIT_SLOTS, info.slot + 1u), sequence.page_count * shape.tokens);
  PageEntries table = PageEntries(sequence.table);

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
  for (uint i = lane; i < SPLIT_SLOTS; i += gl_WorkGroupSize.x) {
    const uint slot = split_slot + i;
    if (slot < begin || slot >= end) continue;
    const PageEntry entry = table.at[slot / shape.tokens];
    if (is_null(entry.page)) {
      [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) weights[i * GROUP_HEADS + h] = kUnseen;
      continue;
    }
    float score[GROUP_HEADS];
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) score[h] = 0.0;
    const uint row = page_k_codes(shape, entry.formats, args.layer, kv_head, slot % shape.tokens);
    if (page_k_format(entry.formats) == PAGE_FORMAT_F32)
      add_scores(entry.page, PAGE_FORMAT_F32, row, q_at, score);
    else
      add_scores(entry.page, PAGE_FORMAT_F16, row, q_at, score);
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      const float scaled = args.scale * score[h];
      weights[i * GROUP_HEADS + h] = scaled;
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
      const float score = weights[i * GROUP_HEADS + h];
      const float term = score == kUnseen ? 0.0 : exp(score - maximum[h]);
      weights[i * GROUP_HEADS + h] = term;
      precise const float sum = weight[h] + term;
      weight[h] = sum;
    }
  }
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) invocation_weight[lane * GROUP_HEADS + h] = weight[h];
  barrier();

  // Values: an invocation takes pairs of dimensions lane, lane + workgroup, ...
  Floats partials = Floats(args.partials);
  const uint stride = shape.v_dim + 2u;
  for (uint pair = lane; pair < shape.v_dim / 2u; pair += gl_WorkGroupSize.x) {
    vec2 sum[GROUP_HEADS];
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) sum[h] = vec2(0.0);
    for (uint page = begin / shape.tokens; page * shape.tokens < end; ++page) {
      const PageEntry entry = table.at[page];
      if (is_null(entry.page)) continue;
      const uint page_slot = page * shape.tokens;
      const uint low = max(begin, page_slot) - page_slot;
      const uint high = min(end - page_slot, shape.tokens);
      const uint region = page_v_codes(shape, entry.formats, args.layer, kv_head, 0u);
      if (page_v_format(entry.formats) == PAGE_FORMAT_F32)
        add_values(entry.page, PAGE_FORMAT_F32, region, page_row_code_bytes(PAGE_FORMAT_F32, shape.v_dim), pair, low, high, page_slot - split_slot, sum);
      else
        add_values(entry.page, PAGE_FORMAT_F16, region, page_row_code_bytes(PAGE_FORMAT_F16, shape.v_dim), pair, low, high, page_slot - split_slot, sum);
    }
    [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
      const uint at = ((column * args.q_heads + head[h]) * args.split_count + gl_WorkGroupID.x) * stride + 2u * pair;
      if (first_head + h < group_size) {
        partials.at[at] = sum[h].x;
        partials.at[at + 1u] = sum[h].y;
      }
    }
  }
  if (lane != 0u) return;
  [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
    precise float total = 0.0;
    for (uint i = 0u; i < gl_WorkGroupSize.x; ++i) total += invocation_weight[i * GROUP_HEADS + h];
    const uint at = ((column * args.q_heads + head[h]) * args.split_count + gl_WorkGroupID.x) * stride + shape.v_dim;
    if (first_head + h < group_size) {
      partials.at[at] = maximum[h];
      partials.at[at + 1u] = total;
    }
  }
}
