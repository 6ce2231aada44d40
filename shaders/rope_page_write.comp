#version 460
#extension GL_GOOGLE_include_directive : require
// rope_page_write: turns the projected Q and K by their positions and writes K and V to their page slots.
//
// In     args.qkv f32 activation [q_heads * k_dim + kv_heads * (k_dim + v_dim)][column_count]: rows of Q, of K, of V; args.rope f32
//        [column_count][rope_dim / 2][2] (cos, sin); args.columns; args.sequences.
// Out    args.q f32 activation [q_heads * k_dim][column_count]; one slot of K and of V for each column that has a page. Padding columns get
//        zeros in q and write no slot.
// Grid   x: pairs of elements of a head * COLUMN_TILE, columns next to each other; y: heads of Q, of K, of V; z: column tiles. An invocation owns two
//        neighbouring elements of one head in one column. (Two f16 fill the word that is written, so no 16-bit stores are needed.)
// Spec   workgroup, COLUMN_TILE.
// Bytes  qkv and q once, one slot of K and V a column.
#include "shaders/page_rows.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 1;
layout(push_constant) uniform Push { RopePageWriteArgs args; };

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

void main() {
  const PageShape shape = args.page;
  const uint column = gl_WorkGroupID.z * COLUMN_TILE + gl_GlobalInvocationID.x % COLUMN_TILE;
  const uint element = gl_GlobalInvocationID.x / COLUMN_TILE * 2u;
  const uint head = gl_WorkGroupID.y;
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
  const SequenceInfo sequence = SequenceInfos(args.sequences).at[info.sequence];
  const uint page_index = info.slot / shape.tokens;
  if (page_index >= sequence.page_count) return;
  const PageEntry entry = PageEntries(sequence.table).at[page_index];
  if (is_null(entry.page)) return;
  const uint slot = info.slot - page_index * shape.tokens;
  const uint kv_head = head - args.q_heads - (is_v ? shape.kv_heads : 0u);
  if (is_v) {
    const uint row = (args.q_heads + shape.kv_heads) * shape.k_dim + kv_head * shape.v_dim + element;
    store2(entry.page, page_v_format(entry.formats), page_v_codes(shape, entry.formats, args.layer, kv_head, slot), element / 2u,
           vec2(qkv_at(row, column), qkv_at(row + 1u, column)));
  } else {
    const uint row = head * shape.k_dim;
    store2(entry.page, page_k_format(entry.formats), page_k_codes(shape, entry.formats, args.layer, kv_head, slot), element / 2u,
           vec2(turned(row, element, column), turned(row, element + 1u, column)));
  }
}
