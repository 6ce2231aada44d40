#version 460
#extension GL_GOOGLE_include_directive : require
// attend_prefill: dst[h * v_dim + d, n] = sum over visible slots j of softmax_j(scale * q[h, n] . K[j]) V[j, d], with a running softmax over blocks
// of slots (Milakov & Gimelshein 2018; Dao et al. 2022). Query head h reads K/V head h / (q_heads / kv_heads).
//
// In     args.q f32 activation [q_heads * k_dim][column_count]; args.columns; args.sequences; K and V through the sequence's pages.
// Out    args.dst f32 activation [q_heads * v_dim][column_count]; padding columns get zeros. Between blocks it holds the running sums.
// Grid   x: column tiles, y: query heads. A workgroup owns a tile's queries, which share each K and V row; an invocation owns every workgroup-th of them.
// Spec   workgroup divides COLUMN_TILE. PAGE_LANES > 1: a subgroup is exactly the workgroup's LANES = PAGE_LANES invocations, each loads two elements of
//        a row and hands them round; 2 * LANES divides k_dim and v_dim, LANES divides PAGE_GROUP / 2. The sums are the same.
// Sums   f32, a score's in the order of its elements, a block's values in the order of slots; blocks lie by their place in the page, so that no chunk moves
//        a boundary, and a block that a query does not see leaves its sums as they are. Slots that no query of the tile sees are never read, nor pages
//        that hold none.
// Bytes  K and V of the visible slots once a workgroup and query head (V from the cache, once every VALUES elements); dst once a block.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 16;
layout(constant_id = 2) const uint LANES = 16;
#ifdef SUBGROUP_BROADCAST
layout(constant_id = 3) const uint PAGE_LANES = 1;
const uint CHUNK = PAGE_LANES > 1u ? 2u * LANES : 8u;  // elements of a row that are loaded at once
#else
const uint PAGE_LANES = 1u;
const uint CHUNK = 8u;
#endif
#include "shaders/lane_words.glsl"
#include "shaders/page_rows.glsl"
layout(push_constant) uniform Push { AttendPrefillArgs args; };

const uint QUERIES = COLUMN_TILE / gl_WorkGroupSize.x;
const uint BLOCK_SLOTS = 64u;
const uint KEYS = 8u;  // scored at once; divides BLOCK_SLOTS
const uint SCORES = KEYS * QUERIES;
const uint VALUES = 8u;  // elements whose sums are kept at once; divides CHUNK
const uint SUMS = VALUES * QUERIES;
const float kUnseen = -3.0e38;  // below every score; finite, so that differences are never NaN
shared float weights[BLOCK_SLOTS * COLUMN_TILE];  // [slot of the block][column]: scores, then exp(score - maximum)

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
uint weight_at(uint slot, uint query) { return slot % BLOCK_SLOTS * COLUMN_TILE + tile_column(query); }

bool sees(uint query, uint slot) { return slot >= first_seen[query] && slot <= last_seen[query]; }

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
    const vec2 own = load2_of_lanes(rows, format, slot, first / 2u);
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

// score[j * QUERIES + g] += q of query g . K of slot `slots[j]`.
void add_scores(PageRows rows, uint format, uint slots[KEYS], uint head, inout float score[SCORES]) {
  const uint chunks = args.page.k_dim / CHUNK;
  [[dont_unroll]] for (uint chunk = 0u; chunk < chunks; ++chunk) {
    const uint first = index_to_load(chunk, chunks) * CHUNK;
    float q[QUERIES * CHUNK];
    [[unroll]] for (uint i = 0u; i < CHUNK; ++i)
      [[unroll]] for (uint g = 0u; g < QUERIES; ++g) q[i * QUERIES + g] = query_element(head * args.page.k_dim + first + i, g);
    [[unroll]] for (uint j = 0u; j < KEYS; ++j) {
      float row[CHUNK];
      load_chunk(rows, format, slots[j], first, row);
      [[unroll]] for (uint i = 0u; i < CHUNK; ++i)
        [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
          precise const float next = fma(q[i * QUERIES + g], row[i], score[j * QUERIES + g]);
          score[j * QUERIES + g] = next;
        }
    }
  }
}

// The weight of a slot for the invocation's query.
float weight_of(uint slot, uint query) {
#ifdef SUBGROUP_BROADCAST
  if (PAGE_LANES > 1u) {
    const uint first = slot % BLOCK_SLOTS * COLUMN_TILE + query * LANES;
    float weight = weights[first];
    [[unroll]] for (uint lane = 1u; lane < LANES; ++lane) {
      const float next = weights[first + lane];
      weight = mix(weight, next, gl_SubgroupInvocationID == lane);
    }
    return weight;
  }
#endif
  return weights[weight_at(slot, query)];
}

// sum[i * QUERIES + g] += weight of query g * V element first + part + i, over the slots.
void add_values(PageRows rows, uint format, SlotRange slots, uint first, uint part, inout float sum[SUMS]) {
  [[dont_unroll]] for (uint base = slots.low; base <= slots.high; base += 4u) {
    [[unroll]] for (uint j = 0u; j < 4u; ++j) {
      const uint slot = min(base + j, slots.high);
      float row[CHUNK];
      load_chunk(rows, format, slot, first, row);
      [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
        const float weight = base + j <= slots.high ? weight_of(slot, g) : 0.0;
        [[unroll]] for (uint i = 0u; i < VALUES; ++i) {
          precise const float next = fma(weight, row[part + i], sum[i * QUERIES + g]);
          sum[i * QUERIES + g] = next;
        }
      }
    }
  }
}

// Leaves the scores of the slots in `weights`, unseen ones as kUnseen, and raises `maximum` to them.
void score_slots(PageRows k, SlotRange slots, uint head) {
  for (uint base = slots.low / KEYS * KEYS; base <= slots.high; base += KEYS) {
    uint key[KEYS];
    [[unroll]] for (uint j = 0u; j < KEYS; ++j) key[j] = clamp(base + j, slots.low, slots.high);
    float score[SCORES];
    [[unroll]] for (uint i = 0u; i < SCORES; ++i) score[i] = 0.0;
    // A format named by a constant lets the compiler keep the choice out of the loops.
    if (k.format == PAGE_FORMAT_F32) add_scores(k, PAGE_FORMAT_F32, key, head, score);
    else if (k.format == PAGE_FORMAT_Q8) add_scores(k, PAGE_FORMAT_Q8, key, head, score);
    else add_scores(k, PAGE_FORMAT_F16, key, head, score);
    [[unroll]] for (uint j = 0u; j < KEYS; ++j)
      [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
        const float scaled = sees(g, slots.page_slot + key[j]) ? args.scale * score[j * QUERIES + g] : kUnseen;
        weights[weight_at(key[j], g)] = scaled;
        maximum[g] = max(maximum[g], scaled);
      }
  }
}

// Adds a block's slots to the queries' softmax, and their values to the sums in dst: the first block to nothing; the last one divides by all weights.
void attend_block(PageEntry entry, SlotRange slots, uint head, bool first_block, bool last_block) {
  const PageShape shape = args.page;
  const uint kv_head = head / (args.q_heads / shape.kv_heads);
  float keep[QUERIES], factor[QUERIES];
  [[unroll]] for (uint g = 0u; g < QUERIES; ++g) keep[g] = maximum[g];
  score_slots(k_rows(entry, shape, args.layer, kv_head), slots, head);

  [[unroll]] for (uint g = 0u; g < QUERIES; ++g) {
    keep[g] = exp(keep[g] - maximum[g]);
    precise float weight = weight_sum[g] * keep[g];
    for (uint slot = slots.low; slot <= slots.high; ++slot) {
      const float term = sees(g, slots.page_slot + slot) ? exp(weights[weight_at(slot, g)] - maximum[g]) : 0.0;
      weights[weight_at(slot, g)] = term;
      weight += term;
    }
    weight_sum[g] = weight;
    factor[g] = !last_block ? 1.0 : first_seen[g] <= last_seen[g] ? 1.0 / weight : 0.0;
  }

  const PageRows v = v_rows(entry, shape, args.layer, kv_head);
  const uint chunks = shape.v_dim / CHUNK;
  for (uint chunk = 0u; chunk < chunks; ++chunk) {
    const uint first = index_to_load(chunk, chunks) * CHUNK;
    [[unroll]] for (uint part = 0u; part < CHUNK; part += VALUES) {
      const uint dst_row = head * shape.v_dim + first + part;
      float sum[SUMS];
      [[unroll]] for (uint i = 0u; i < SUMS; ++i) sum[i] = 0.0;
      if (!first_block) {
        [[unroll]] for (uint i = 0u; i < VALUES; ++i)
          [[unroll]] for (uint g = 0u; g < QUERIES; ++g) sum[i * QUERIES + g] = keep[g] * sum_so_far(dst_row + i, g);
      }
      if (v.format == PAGE_FORMAT_F32) add_values(v, PAGE_FORMAT_F32, slots, first, part, sum);
      else if (v.format == PAGE_FORMAT_Q8) add_values(v, PAGE_FORMAT_Q8, slots, first, part, sum);
      else add_values(v, PAGE_FORMAT_F16, slots, first, part, sum);
      [[unroll]] for (uint i = 0u; i < VALUES; ++i)
        [[unroll]] for (uint g = 0u; g < QUERIES; ++g) store(dst_row + i, g, factor[g] * sum[i * QUERIES + g]);
    }
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

  const SequenceInfo sequence = SequenceInfos(args.sequences).at[sequence_index];
  const uint first_page = first / shape.tokens;
  uint end_page = min(last / shape.tokens + 1u, sequence.page_count);
  while (end_page > first_page && is_null(PageEntries(sequence.table).at[end_page - 1u].page)) --end_page;
  if (end_page <= first_page) store_zeros(head);
  bool first_block = true;
  for (uint at = first_page; at < end_page; ++at) {
    const uint page = index_to_load(at, end_page);
    const PageEntry entry = PageEntries(sequence.table).at[page];
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
