#version 460
#extension GL_GOOGLE_include_directive : require
// attend_prefill: dst[h * v_dim + d, n] = sum over visible slots j of softmax_j(scale * q[h, n] . K[j]) V[j, d], with a running softmax over blocks
// of slots (Milakov & Gimelshein 2018; Dao et al. 2022). Query head h reads K/V head h / (q_heads / kv_heads).
//
// In     args.q f32 activation [q_heads * k_dim][column_count]; args.columns; args.sequences; K and V through the sequence's pages.
// Out    args.dst f32 activation [q_heads * v_dim][column_count]; padding columns get zeros. Between blocks it holds the running sums.
// Grid   x: column tiles, y: query heads. A workgroup owns a tile's queries, which share each K and V row; an invocation owns every workgroup-th of them.
// Spec   workgroup divides COLUMN_TILE. PAGE_LANES > 1: a subgroup is exactly the workgroup's LANES = PAGE_LANES invocations, up to eight of them load two
//        elements of a row each and hand them round; twice as many divide k_dim and v_dim. The sums are the same.
// Sums   f32, a score's in the order of its elements, weights and values in the order of slots; the maximum is that of blocks of slots, which lie by their
//        place in the page, so that no chunk moves a boundary, and a block that a query does not see leaves its sums as they are. Slots that no query of the tile sees are never read, nor
//        pages that hold none.
// Bytes  K and V of the visible slots once a workgroup and query head (V from the cache, once every VALUES elements); dst once a block.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 16;
layout(constant_id = 2) const uint LANES = 16;
#ifdef SUBGROUP_BROADCAST
layout(constant_id = 3) const uint PAGE_LANES = 1;
const uint ROW_LANES = LANES < 8u ? LANES : 8u;  // that load together
const uint CHUNK = PAGE_LANES > 1u ? 2u * ROW_LANES : 8u;  // elements of a row that are loaded at once
#else
const uint PAGE_LANES = 1u;
const uint CHUNK = 8u;
#endif
#include "shaders/lane_words.glsl"
#include "shaders/page_rows.glsl"
layout(push_constant) uniform Push { AttendPrefillArgs args; };

const uint QUERIES = COLUMN_TILE / gl_WorkGroupSize.x;
const uint BLOCK_SLOTS = 64u;
const uint HALF_SLOTS = 32u;  // whose scores, and then weights, an invocation computes with at once
const uint KEYS = 4u;         // scored side by side; divides HALF_SLOTS
const uint SCORES = HALF_SLOTS * QUERIES;
const uint VALUES = QUERIES >= 8u ? 2u : 16u / QUERIES > CHUNK ? CHUNK : 16u / QUERIES;  // elements whose sums are kept at once, side by side; divides CHUNK
const uint SUMS = VALUES * QUERIES;
const float kUnseen = -3.0e38;  // below every score; finite, so that differences are never NaN

// The queries of an invocation, columns gl_LocalInvocationID.x, + workgroup, ... of the tile, with their running softmax.
uint first_seen[QUERIES];  // visible slots; none of a padding column
uint last_seen[QUERIES];
float maximum[QUERIES];
float weight_sum[QUERIES];  // of exp(score - maximum)

// Slots [low, high] of a page that queries of the tile see.
struct SlotRange {
  uint page_slot;  // absolute, of the page's slot 0
  uint low;
  uint high;
};

uint tile_column(uint query) { return query * gl_WorkGroupSize.x + gl_LocalInvocationID.x; }

// Whether a query sees a slot of the page, which may be outside the range.
bool sees(uint query, SlotRange slots, uint slot) {
  const uint seen = slots.page_slot + slot;
  return slot >= slots.low && slot <= slots.high && seen >= first_seen[query] && seen <= last_seen[query];
}

// Where element `row` of an activation of `width` starts for the invocations' queries, which are neighbours.
uint element_at(uint row, uint width, uint query) { return (gl_WorkGroupID.x * width + row) * COLUMN_TILE + query * gl_WorkGroupSize.x; }
float query_element(uint row, uint query) {
  const uint at = element_at(row, args.q_heads * args.page.k_dim, query);
#ifdef SUBGROUP_BROADCAST
  if (PAGE_LANES > 1u) return uintBitsToFloat(word_of_lane(word_address(args.q, at), 0u));
#endif
  return FloatsIn(args.q).at[at + gl_LocalInvocationID.x];
}
float sum_so_far(uint row, uint query) {
  const uint at = element_at(row, args.q_heads * args.page.v_dim, query);
#ifdef SUBGROUP_BROADCAST
  if (PAGE_LANES > 1u) return uintBitsToFloat(written_word_of_lane(word_address(args.dst, at), 0u));
#endif
  return Floats(args.dst).at[at + gl_LocalInvocationID.x];
}
void store(uint row, uint query, float value) {
  Floats(args.dst).at[element_at(row, args.q_heads * args.page.v_dim, query) + gl_LocalInvocationID.x] = value;
}

// Elements [first, first + CHUNK) of a slot's row. Requires: first is a multiple of CHUNK.
void load_chunk(PageRows rows, uint format, uint slot, uint first, out float row[CHUNK]) {
#ifdef SUBGROUP_BROADCAST
  if (PAGE_LANES > 1u) {
    const vec2 own = load2_of_lanes(pairs_of_lanes(rows, format, slot, first / 2u), format, 0u, 0u, 0u, ROW_LANES);
    [[unroll]] for (uint i = 0u; i < CHUNK; ++i) row[i] = subgroupBroadcast(own[i % 2u], i / 2u);
    return;
  }
#endif
  vec4 low, high;
  load8(rows, format, slot, first / 8u, low, high);
  [[unroll]] for (uint i = 0u; i < 4u; ++i) {
    row[i] = low[i];
    row[4u + i] = high[i];
  }
}

float sum_of(float a, float b) {
  precise const float sum = a + b;
  return sum;
}

float product_and_sum(float a, float b, float sum) {
  precise const float next = fma(a, b, sum);
  return next;
}

// The slot that stands for `slot` where the half has fewer: those outside the range are never read.
uint slot_to_load(SlotRange slots, uint slot) { return clamp(slot, slots.low, slots.high); }

// score[key * QUERIES + g] += q of query g . K of slot `begin` + key.
void add_scores(PageRows rows, uint format, SlotRange slots, uint begin, uint head, inout float score[SCORES]) {
  const uint chunks = args.page.k_dim / CHUNK;
  [[dont_unroll]] for (uint chunk = 0u; chunk < chunks; ++chunk) {
    const uint first = index_to_load(chunk, chunks) * CHUNK;
    float q[QUERIES * CHUNK];
    [[unroll]] for (uint i = 0u; i < CHUNK; ++i)
      [[unroll]] for (uint g = 0u; g < QUERIES; ++g) q[i * QUERIES + g] = query_element(head * args.page.k_dim + first + i, g);
    [[unroll]] for (uint key = 0u; key < HALF_SLOTS; key += KEYS) {
      if (PAGE_LANES > 1u) keep_load_order();  // or the rows of all keys are loaded first: more than registers hold
      float row[KEYS][CHUNK];
      [[unroll]] for (uint j = 0u; j < KEYS; ++j) load_chunk(rows, format, slot_to_load(slots, begin + key + j), first, row[j]);
      [[unroll]] for (uint i = 0u; i < CHUNK; ++i)
        [[unroll]] for (uint j = 0u; j < KEYS; ++j)
          [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
            const uint at = (key + j) * QUERIES + g;
            score[at] = product_and_sum(q[i * QUERIES + g], row[j][i], score[at]);
          }
    }
  }
}

// sum[i * QUERIES + g] += weight of query g * V element first + part + i, over the half's slots.
void add_values(PageRows rows, uint format, SlotRange slots, uint begin, uint first, uint part, float weight[SCORES], inout float sum[SUMS]) {
  [[unroll]] for (uint key = 0u; key < HALF_SLOTS; ++key) {
    float row[CHUNK];
    load_chunk(rows, format, slot_to_load(slots, begin + key), first, row);
    [[unroll]] for (uint i = 0u; i < VALUES; ++i)
      [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
        const uint at = i * QUERIES + g;
        sum[at] = product_and_sum(weight[key * QUERIES + g], row[part + i], sum[at]);
      }
  }
}

// The half's scores, kUnseen where a query does not see a slot.
void score_half(PageRows k, SlotRange slots, uint begin, uint head, out float score[SCORES]) {
  [[unroll]] for (uint i = 0u; i < SCORES; ++i) score[i] = 0.0;
  // A format named by a constant lets the compiler keep the choice out of the loops.
  if (k.format == PAGE_FORMAT_F32) add_scores(k, PAGE_FORMAT_F32, slots, begin, head, score);
  else if (k.format == PAGE_FORMAT_Q8) add_scores(k, PAGE_FORMAT_Q8, slots, begin, head, score);
  else add_scores(k, PAGE_FORMAT_F16, slots, begin, head, score);
  [[unroll]] for (uint key = 0u; key < HALF_SLOTS; ++key)
    [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
      const uint at = key * QUERIES + g;
      score[at] = sees(g, slots, begin + key) ? args.scale * score[at] : kUnseen;
    }
}

// Turns a half's scores into weights, and adds these to the queries' sums.
void weigh_half(SlotRange slots, uint begin, inout float score[SCORES]) {
  [[unroll]] for (uint key = 0u; key < HALF_SLOTS; ++key)
    [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
      const uint at = key * QUERIES + g;
      score[at] = sees(g, slots, begin + key) ? exp(score[at] - maximum[g]) : 0.0;
      weight_sum[g] = sum_of(weight_sum[g], score[at]);
    }
}

// sum in dst = keep * sum (nothing, if there was none) + the half's weights * values, times factor.
void add_half(PageRows v, SlotRange slots, uint begin, uint head, bool first_sums, float keep[QUERIES], float factor[QUERIES], float weight[SCORES]) {
  const uint chunks = args.page.v_dim / CHUNK;
  for (uint chunk = 0u; chunk < chunks; ++chunk) {
    const uint first = index_to_load(chunk, chunks) * CHUNK;
    [[unroll]] for (uint part = 0u; part < CHUNK; part += VALUES) {
      const uint dst_row = head * args.page.v_dim + first + part;
      float sum[SUMS];
      [[unroll]] for (uint i = 0u; i < SUMS; ++i) sum[i] = 0.0;
      if (!first_sums) {
        [[unroll]] for (uint i = 0u; i < VALUES; ++i)
          [[unroll]] for (uint g = 0u; g < QUERIES; ++g) sum[i * QUERIES + g] = keep[g] * sum_so_far(dst_row + i, g);
      }
      if (v.format == PAGE_FORMAT_F32) add_values(v, PAGE_FORMAT_F32, slots, begin, first, part, weight, sum);
      else if (v.format == PAGE_FORMAT_Q8) add_values(v, PAGE_FORMAT_Q8, slots, begin, first, part, weight, sum);
      else add_values(v, PAGE_FORMAT_F16, slots, begin, first, part, weight, sum);
      [[unroll]] for (uint i = 0u; i < VALUES; ++i)
        [[unroll]] for (uint g = 0u; g < QUERIES; ++g) store(dst_row + i, g, factor[g] * sum[i * QUERIES + g]);
    }
  }
}

// Adds a block's slots to the queries' softmax, and their values to the sums in dst: the first block to nothing; the last one divides by all weights.
void attend_block(PageEntry entry, SlotRange slots, uint head, bool first_block, bool last_block) {
  const uint kv_head = head / (args.q_heads / args.page.kv_heads);
  PageRows k = k_rows(entry, args.page, args.layer, kv_head);
  PageRows v = v_rows(entry, args.page, args.layer, kv_head);
  const uint first_half = slots.low / HALF_SLOTS;
  const uint last_half = slots.high / HALF_SLOTS;
  float weight[SCORES], other[SCORES];  // of the block's halves, as [slot][query]
  [[unroll]] for (uint i = 0u; i < SCORES; ++i) weight[i] = other[i] = kUnseen;
  [[dont_unroll]] for (uint at = first_half; at <= last_half; ++at) {
    const uint half_index = index_to_load(at, last_half + 1u);
    [[unroll]] for (uint i = 0u; i < SCORES; ++i) weight[i] = other[i];
    score_half(k, slots, half_index * HALF_SLOTS, head, other);
  }

  float keep[QUERIES], factor[QUERIES];
  [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
    const float before = maximum[g];
    [[unroll]] for (uint key = 0u; key < HALF_SLOTS; ++key) maximum[g] = max(maximum[g], max(weight[key * QUERIES + g], other[key * QUERIES + g]));
    keep[g] = exp(before - maximum[g]);
    precise const float kept = weight_sum[g] * keep[g];
    weight_sum[g] = kept;
    factor[g] = 1.0;
  }
  [[dont_unroll]] for (uint at = first_half; at <= last_half; ++at) {
    const uint half_index = index_to_load(at, last_half + 1u);
    float own[SCORES];
    [[unroll]] for (uint i = 0u; i < SCORES; ++i) own[i] = half_index == last_half ? other[i] : weight[i];
    weigh_half(slots, half_index * HALF_SLOTS, own);
    [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
      if (half_index != first_half) keep[g] = 1.0;
      if (last_block && half_index == last_half) factor[g] = first_seen[g] <= last_seen[g] ? 1.0 / weight_sum[g] : 0.0;
    }
    add_half(v, slots, half_index * HALF_SLOTS, head, first_block && half_index == first_half, keep, factor, own);
  }
}

void store_zeros(uint head) {
  for (uint d = 0u; d < args.page.v_dim; ++d)
    [[unroll]] for (uint g = 0u; g < QUERIES; ++g) store(head * args.page.v_dim + d, g, 0.0);
}

void main() {
  const PageShape shape = args.page;
  const uint first_column = gl_WorkGroupID.x * COLUMN_TILE;
  const uint head = gl_WorkGroupID.y;
  if (first_column >= args.column_count) return;

  // What the tile's queries see together; every invocation finds it alone.
  uint first = 0xffffffffu;
  uint last = 0u;
  uint sequence_index = PADDING_COLUMN;
  for (uint i = 0u; i < COLUMN_TILE; ++i) {
    const ColumnInfo info = ColumnInfos(args.columns).at[first_column + i];
    if (info.sequence == PADDING_COLUMN) continue;
    first = min(first, first_visible_slot(info.slot, args.window));
    last = max(last, info.slot);
    sequence_index = info.sequence;
  }
  [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
    const ColumnInfo info = ColumnInfos(args.columns).at[first_column + tile_column(g)];
    const bool padding = info.sequence == PADDING_COLUMN;
    first_seen[g] = padding ? 1u : first_visible_slot(info.slot, args.window);
    last_seen[g] = padding ? 0u : info.slot;
    maximum[g] = kUnseen;
    weight_sum[g] = 0.0;
  }
  if (sequence_index == PADDING_COLUMN) {
    store_zeros(head);
    return;
  }

  SequenceInfo sequence = SequenceInfos(args.sequences).at[sequence_index];
  const uint first_page = first / shape.tokens;
  uint end_page = min(last / shape.tokens + 1u, sequence.page_count);
  while (end_page > first_page && is_null(uvec2(PageEntries(sequence.table).at[end_page - 1u].page))) --end_page;
  if (end_page <= first_page) store_zeros(head);
  bool first_block = true;
  for (uint at = first_page; at < end_page; ++at) {
    const uint page = index_to_load(at, end_page);
    PageEntry entry = PageEntries(sequence.table).at[page];
    if (is_null(entry.page)) continue;
    SlotRange slots;
    slots.page_slot = page * shape.tokens;
    const uint page_low = max(first, slots.page_slot) - slots.page_slot;
    const uint page_high = min(last - slots.page_slot, shape.tokens - 1u);
    for (uint block = page_low / BLOCK_SLOTS; block <= page_high / BLOCK_SLOTS; ++block) {
      slots.low = max(page_low, block * BLOCK_SLOTS);
      slots.high = min(page_high, block * BLOCK_SLOTS + BLOCK_SLOTS - 1u);
      attend_block(entry, slots, head, first_block, page + 1u == end_page && block == page_high / BLOCK_SLOTS);
      first_block = false;
    }
  }
}
