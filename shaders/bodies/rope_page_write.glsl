// The body of rope_page_write (rope_page_write.comp says what it computes).
#include "shaders/page_rows.glsl"
#define args rope_page_write_args

uint qkv_width() { return args.q_heads * args.page.k_dim + args.page.kv_heads * (args.page.k_dim + args.page.v_dim); }

float qkv_at(uint row, uint column) { return FloatsIn(args.qkv).at[activation_index(row, column, qkv_width(), COLUMN_TILE)]; }

// Element `element` of the head that starts at row `head_row`, turned. Elements from rope_dim on stay.
float turned(uint head_row, uint element, uint column) {
  const float x = qkv_at(head_row + element, column);
  if (element >= args.rope_dim) return x;
  const uint half_dim = args.rope_dim / 2u;
  const bool first = args.rope_neox != 0u ? element < half_dim : (element & 1u) == 0u;
  const uint stride = args.rope_neox != 0u ? half_dim : 1u;
  const uint pair = args.rope_neox != 0u ? (first ? element : element - half_dim) : element / 2u;
  const float other = qkv_at(head_row + (first ? element + stride : element - stride), column);
  const uint angle = 2u * (column * half_dim + pair);
  const float cosine = FloatsIn(args.rope).at[angle];
  const float sine = FloatsIn(args.rope).at[angle + 1u];
  precise const float result = first ? x * cosine - other * sine : x * cosine + other * sine;
  return result;
}

// One head's K or V of one column.
struct Source {
  uint first_row;  // of qkv
  uint column;
  uint dim;
  bool turns;
};

float source_value(Source source, uint element) {
  return source.turns ? turned(source.first_row, element, source.column) : qkv_at(source.first_row + element, source.column);
}

// Writes the codes of elements [first, first + PAGE_GROUP), fewer at the row's end, and their scale.
void store_q8_group(Source source, PageRows rows, uint slot, uint first) {
  const uint end = min(first + PAGE_GROUP, source.dim);
  uint largest = 0u;
  [[dont_unroll]] for (uint i = first; i < end; ++i) largest = max(largest, floatBitsToUint(source_value(source, i)) & 0x7fffffffu);
  const uint half_scale = q8_scale(largest);
  Halves(rows.page).at[(rows.scales + slot * rows.row_scale_bytes) / 2u + first / PAGE_GROUP] = uint16_t(half_scale);
  const bool all_zero = half_scale == 0u || half_scale > 0x7c00u;
  const float scale = all_zero ? 1.0 : unpackHalf2x16(half_scale).x;
  const float inverse = 1.0 / scale;
  [[dont_unroll]] for (uint word = first / 4u; word < end / 4u; ++word) {
    uint codes = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; ++i) codes |= q8_code(source_value(source, 4u * word + i), scale, inverse) << (8u * i);
    Words(rows.page).at[(rows.codes + slot * rows.row_code_bytes) / 4u + word] = all_zero ? 0u : codes;
  }
}

void rope_page_write_body(uint pair, uint head, uint column_tile) {
  const PageShape shape = args.page;
  const uint column = column_tile * COLUMN_TILE + pair % COLUMN_TILE;
  const uint element = pair / COLUMN_TILE * 2u;
  const bool is_v = head >= args.q_heads + shape.kv_heads;
  if (element >= (is_v ? shape.v_dim : shape.k_dim)) return;
  const ColumnInfo info = ColumnInfos(args.columns).at[column];
  const bool padding = info.sequence == PADDING_COLUMN;

  if (head < args.q_heads) {
    const uint row = head * shape.k_dim;
    [[unroll]] for (uint i = element; i < element + 2u; ++i)
      Floats(args.q).at[activation_index(row + i, column, args.q_heads * shape.k_dim, COLUMN_TILE)] = padding ? 0.0 : turned(row, i, column);
    return;
  }
  if (padding) return;
  SequenceInfo sequence = SequenceInfos(args.sequences).at[info.sequence];
  const uint page_index = info.slot / shape.tokens;
  if (page_index >= sequence.page_count) return;
  PageEntry entry = PageEntries(sequence.table).at[page_index];
  if (is_null(entry.page)) return;
  const uint slot = info.slot - page_index * shape.tokens;
  const uint kv_head = head - args.q_heads - (is_v ? shape.kv_heads : 0u);
  Source source;
  source.first_row = is_v ? (args.q_heads + shape.kv_heads) * shape.k_dim + kv_head * shape.v_dim : head * shape.k_dim;
  source.column = column;
  source.dim = is_v ? shape.v_dim : shape.k_dim;
  source.turns = !is_v;
  PageRows rows;
  if (is_v) rows = v_rows(entry, shape, args.layer, kv_head);
  else rows = k_rows(entry, shape, args.layer, kv_head);
  if (rows.format != PAGE_FORMAT_Q8)
    store2(rows, slot, element / 2u, vec2(source_value(source, element), source_value(source, element + 1u)));
  else if (element % PAGE_GROUP == 0u)
    store_q8_group(source, rows, slot, element);
}

#undef args
