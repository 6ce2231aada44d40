#version 460
#extension GL_GOOGLE_include_directive : require
// attend_prefill: dst[h * v_dim + d, n] = sum over visible slots j of softmax_j(scale * q[h, n] . K[j]) V[j, d], with a running softmax over blocks
// of keys (Milakov & Gimelshein 2018; Dao et al. 2022). Query head h reads K/V head h / (q_heads / kv_heads).
//
// In     args.q f32 activation [q_heads * k_dim][column_count]; args.columns; args.sequences; K and V through the sequence's pages.
// Out    args.dst f32 activation [q_heads * v_dim][column_count]; padding columns get zeros. It also holds the running sums.
// Grid   x: column tiles * (COLUMN_TILE / workgroup), y: query heads. An invocation owns one query; a workgroup's queries share each K and V row.
// Spec   workgroup divides COLUMN_TILE.
// Sums   f32; blocks of KEYS slots by their place in the page, so that no chunk moves a boundary; a block that a query does not see leaves its sums
//        as they are. Slots that no query of the workgroup sees are never read, nor pages that hold none.
// Bytes  K and V of the visible slots once a workgroup and query head; dst once a block of keys (from the cache).
#include "shaders/page_rows.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 16;
layout(push_constant) uniform Push { AttendPrefillArgs args; };

const uint KEYS = 8u;
const float kUnseen = -3.0e38;  // below every score; finite, so that differences are never NaN

// One query's place in the activations and its running softmax.
struct Query {
  uint q_at;      // index of element 0 of its q in args.q, further ones COLUMN_TILE apart
  uint dst_at;    // the same for dst
  uint first;     // visible slots
  uint last;
  float maximum;
  float weight;   // sum of exp(score - maximum)
};

// A block of neighbouring slots of a page. Those outside the workgroup's visible slots are replaced by visible ones.
struct KeyBlock {
  PageEntry entry;
  uint slot;              // absolute, of key 0
  uint slots[KEYS];       // within the page
};

void add_scores(PageRows rows, uint format, uint slots[KEYS], uint q_at, inout float score[KEYS]) {
  for (uint d = 0u; d < args.page.k_dim / 8u; ++d) {
    vec4 q_low, q_high;
    [[unroll]] for (uint i = 0u; i < 4u; ++i) {
      q_low[i] = FloatsIn(args.q).at[q_at + (8u * d + i) * COLUMN_TILE];
      q_high[i] = FloatsIn(args.q).at[q_at + (8u * d + 4u + i) * COLUMN_TILE];
    }
    [[unroll]] for (uint j = 0u; j < KEYS; ++j) {
      vec4 low, high;
      load8(rows, format, slots[j], d, low, high);
      precise const vec4 products = fma(q_high, high, q_low * low);
      precise const float sum = score[j] + ((products.x + products.y) + (products.z + products.w));
      score[j] = sum;
    }
  }
}

void add_values(PageRows rows, uint format, uint slots[KEYS], uint dst_at, float keep, float weight[KEYS]) {
  for (uint d = 0u; d < args.page.v_dim / 8u; ++d) {
    precise vec4 low, high;
    [[unroll]] for (uint i = 0u; i < 4u; ++i) {
      low[i] = keep * Floats(args.dst).at[dst_at + (8u * d + i) * COLUMN_TILE];
      high[i] = keep * Floats(args.dst).at[dst_at + (8u * d + 4u + i) * COLUMN_TILE];
    }
    [[unroll]] for (uint j = 0u; j < KEYS; ++j) {
      vec4 v_low, v_high;
      load8(rows, format, slots[j], d, v_low, v_high);
      low = fma(vec4(weight[j]), v_low, low);
      high = fma(vec4(weight[j]), v_high, high);
    }
    [[unroll]] for (uint i = 0u; i < 4u; ++i) {
      Floats(args.dst).at[dst_at + (8u * d + i) * COLUMN_TILE] = low[i];
      Floats(args.dst).at[dst_at + (8u * d + 4u + i) * COLUMN_TILE] = high[i];
    }
  }
}

void attend_block(KeyBlock keys, uint key_count, uint kv_head, inout Query query) {
  const PageShape shape = args.page;
  float score[KEYS];
  [[unroll]] for (uint j = 0u; j < KEYS; ++j) score[j] = 0.0;
  const PageRows k = k_rows(keys.entry, shape, args.layer, kv_head);
  // A format named by a constant lets the compiler keep the choice out of the loops.
  if (k.format == PAGE_FORMAT_F32)
    add_scores(k, PAGE_FORMAT_F32, keys.slots, query.q_at, score);
  else if (k.format == PAGE_FORMAT_Q8)
    add_scores(k, PAGE_FORMAT_Q8, keys.slots, query.q_at, score);
  else
    add_scores(k, PAGE_FORMAT_F16, keys.slots, query.q_at, score);

  float maximum = query.maximum;
  [[unroll]] for (uint j = 0u; j < KEYS; ++j) {
    const uint slot = keys.slot + j;
    const bool visible = j < key_count && slot >= query.first && slot <= query.last;
    score[j] = visible ? args.scale * score[j] : kUnseen;
    maximum = max(maximum, score[j]);
  }
  const float keep = exp(query.maximum - maximum);
  precise float weight = query.weight * keep;
  [[unroll]] for (uint j = 0u; j < KEYS; ++j) {
    const uint slot = keys.slot + j;
    const bool visible = j < key_count && slot >= query.first && slot <= query.last;
    score[j] = visible ? exp(score[j] - maximum) : 0.0;
    weight += score[j];
  }
  query.maximum = maximum;
  query.weight = weight;

  const PageRows v = v_rows(keys.entry, shape, args.layer, kv_head);
  if (v.format == PAGE_FORMAT_F32)
    add_values(v, PAGE_FORMAT_F32, keys.slots, query.dst_at, keep, score);
  else if (v.format == PAGE_FORMAT_Q8)
    add_values(v, PAGE_FORMAT_Q8, keys.slots, query.dst_at, keep, score);
  else
    add_values(v, PAGE_FORMAT_F16, keys.slots, query.dst_at, keep, score);
}

void main() {
  const PageShape shape = args.page;
  const uint first_column = gl_WorkGroupID.x * gl_WorkGroupSize.x;
  const uint column = first_column + gl_LocalInvocationID.x;
  const uint head = gl_WorkGroupID.y;
  if (first_column >= args.column_count) return;
  const uint kv_head = head / (args.q_heads / shape.kv_heads);

  // What the workgroup's queries see together; every invocation finds it alone.
  uint first = 0xffffffffu;
  uint last = 0u;
  uint sequence_index = PADDING_COLUMN;
  for (uint i = 0u; i < gl_WorkGroupSize.x; ++i) {
    const ColumnInfo other = ColumnInfos(args.columns).at[first_column + i];
    if (other.sequence == PADDING_COLUMN) continue;
    first = min(first, first_visible_slot(other.slot, args.window));
    last = max(last, other.slot);
    sequence_index = other.sequence;
  }
  const ColumnInfo info = ColumnInfos(args.columns).at[column];
  const bool padding = info.sequence == PADDING_COLUMN;
  Query query;
  query.q_at = activation_index(head * shape.k_dim, column, args.q_heads * shape.k_dim, COLUMN_TILE);
  query.dst_at = activation_index(head * shape.v_dim, column, args.q_heads * shape.v_dim, COLUMN_TILE);
  query.first = padding ? 1u : first_visible_slot(info.slot, args.window);
  query.last = padding ? 0u : info.slot;
  query.maximum = kUnseen;
  query.weight = 0.0;
  for (uint d = 0u; d < shape.v_dim; ++d) Floats(args.dst).at[query.dst_at + d * COLUMN_TILE] = 0.0;
  if (sequence_index == PADDING_COLUMN) return;

  const SequenceInfo sequence = SequenceInfos(args.sequences).at[sequence_index];
  const uint end_page = min(last / shape.tokens + 1u, sequence.page_count);
  for (uint page = first / shape.tokens; page < end_page; ++page) {
    const PageEntry entry = PageEntries(sequence.table).at[page];
    if (is_null(entry.page)) continue;
    const uint page_slot = page * shape.tokens;
    const uint low = max(first, page_slot) - page_slot;
    const uint high = min(last - page_slot, shape.tokens - 1u);
    for (uint block = low / KEYS; block <= high / KEYS; ++block) {
      KeyBlock keys;
      keys.entry = entry;
      keys.slot = page_slot + block * KEYS;
      [[unroll]] for (uint j = 0u; j < KEYS; ++j) keys.slots[j] = clamp(block * KEYS + j, low, high);
      attend_block(keys, min(KEYS, shape.tokens - block * KEYS), kv_head, query);
    }
  }
  if (padding) return;
  const float factor = 1.0 / query.weight;
  for (uint d = 0u; d < shape.v_dim; ++d) Floats(args.dst).at[query.dst_at + d * COLUMN_TILE] *= factor;
}
