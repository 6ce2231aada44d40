// The kernels that reach pages through tables.
#include <algorithm>

#include "engine/forward/kernel_recording.hpp"
#include "engine/forward/kernels.hpp"

namespace quire {
namespace {

/// Query heads that one workgroup of attend_decode serves with one reading of K and V: all that share a K/V head, up to what its registers hold.
constexpr uint32_t kMaxGroupHeads = 8;
constexpr uint32_t kMaxLaneKeys = 4;
constexpr uint32_t kMaxLaneKeysOfRows = 2;  ///< where the lanes load each other's rows, which takes registers, too
constexpr uint32_t kMaxLanePairs = 4;

struct TableSlices {
  BufferSlice columns;
  BufferSlice sequences;
};

Result<TableSlices> table_slices(const StepTables& tables, uint32_t column_count) {
  TableSlices slices{{}, tables.sequences};
  QUIRE_ASSIGN(slices.columns, first_bytes(tables.columns, uint64_t{column_count} * sizeof(ColumnInfo), "columns"));
  QUIRE_TRY(first_bytes(tables.sequences, sizeof(SequenceInfo), "sequences"));
  return slices;
}

std::vector<Access> page_accesses(const StepTables& tables, AccessMode mode) {
  std::vector<Access> accesses;
  accesses.reserve(tables.pages.size());
  for (const BufferSlice& slab : tables.pages) accesses.push_back({slab, mode});
  return accesses;
}

/// `readings`: how often a tile's columns together read the keys and values that they see.
Work attention_work(const AttentionShape& shape, const AttentionReads& reads, uint64_t readings) {
  return {.bytes = readings * reads.bytes, .macs = reads.slots * shape.q_heads * (shape.page.k_dim + shape.page.v_dim)};
}

Status check_heads(const Activation& activation, uint32_t heads, uint32_t dim, const char* what) {
  return expect_equal(activation.width, uint64_t{heads} * dim, what);
}

/// Lanes whose words of rows one load brings: all, where what they read are neighbours.
uint32_t page_lanes(const VariantSet& v, uint32_t workgroup) {
  return v.lanes_per_load == workgroup && PAGE_GROUP / 2 % workgroup == 0 ? workgroup : 1;
}

uint32_t decode_page_lanes(const VariantSet& v, const PageShape& page) {
  const uint32_t lanes = page_lanes(v, v.attend_decode_workgroup);
  const bool rows_fit = v.split_slots % lanes == 0 && page.tokens % lanes == 0 && page.k_dim % 16 == 0 && page.v_dim / 2 % lanes == 0;
  return rows_fit && lanes >= 4 ? lanes : 1;
}

uint32_t prefill_page_lanes(const VariantSet& v, const PageShape& page, uint32_t workgroup) {
  const uint32_t lanes = page_lanes(v, workgroup);
  const uint32_t together = 2 * std::min(lanes, 8U);  // elements of a row: up to eight lanes load two each
  return page.k_dim % together == 0 && page.v_dim % together == 0 && lanes >= 4 ? lanes : 1;
}

}  // namespace

Status record_rope_page_write(Recorder r, const Activation& qkv, BufferSlice rope, uint32_t rope_dim, RopeOrder order, const AttentionShape& shape,
                              const StepTables& tables, const Activation& q) {
  QUIRE_TRY(check_attention_shape(shape));
  const PageShape& page = shape.page;
  QUIRE_TRY(check_heads(q, shape.q_heads, page.k_dim, "width of the queries"));
  QUIRE_TRY(expect_equal(qkv.width, q.width + uint64_t{page.kv_heads} * (page.k_dim + page.v_dim), "width of the projected Q, K and V"));
  QUIRE_TRY(expect_equal(q.column_count, qkv.column_count, "column count of the queries"));
  QUIRE_TRY(expect_equal(q.column_tile, qkv.column_tile, "column tile of the queries"));
  if (rope_dim % 2 != 0 || rope_dim > page.k_dim)
    return make_error(Code::invalid_argument, "RoPE over %u of %u elements: it must be even and no more than a head", rope_dim, page.k_dim);
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(qkv, "projected Q, K and V"));
  QUIRE_ASSIGN(const BufferSlice out, activation_slice(q, "queries"));
  QUIRE_ASSIGN(const BufferSlice angles, first_bytes(rope, uint64_t{4} * rope_dim * qkv.column_count, "RoPE angles"));
  QUIRE_ASSIGN(const TableSlices slices, table_slices(tables, qkv.column_count));
  const RopePageWriteArgs args{.qkv = 0, .rope = 0, .columns = 0, .sequences = 0, .q = 0, .page = page, .layer = shape.layer, .q_heads = shape.q_heads,
                               .rope_dim = rope_dim, .rope_neox = static_cast<uint32_t>(order), .column_count = qkv.column_count};
  const uint32_t workgroup = r.variants.elementwise_workgroup;
  const uint32_t pairs = std::max(page.k_dim, page.v_dim) / 2 * qkv.column_tile;
  return record(r, {KernelId::rope_page_write, WeightType::none, {workgroup, qkv.column_tile}}, args,
                {in, angles, slices.columns, slices.sequences, out},
                {ceil_div(pairs, workgroup), shape.q_heads + 2 * page.kv_heads, qkv.column_count / qkv.column_tile},
                {.bytes = 2 * in.size_bytes, .macs = in.size_bytes / 2}, page_accesses(tables, AccessMode::read_write));
}

Status record_attend_prefill(Recorder r, const Activation& q, const AttentionShape& shape, const StepTables& tables, const Activation& dst) {
  QUIRE_TRY(check_attention_shape(shape));
  QUIRE_TRY(check_heads(q, shape.q_heads, shape.page.k_dim, "width of the queries"));
  QUIRE_TRY(check_heads(dst, shape.q_heads, shape.page.v_dim, "width of the attended values"));
  QUIRE_TRY(expect_equal(dst.column_count, q.column_count, "column count of the attended values"));
  QUIRE_TRY(expect_equal(dst.column_tile, q.column_tile, "column tile of the attended values"));
  if (q.column_tile < 2)
    return make_error(Code::invalid_argument, "attend_prefill takes tiles of at least 2 columns, not of %u", q.column_tile);
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(q, "queries"));
  QUIRE_ASSIGN(const BufferSlice out, activation_slice(dst, "attended values"));
  QUIRE_ASSIGN(const TableSlices slices, table_slices(tables, q.column_count));
  const uint32_t wanted = std::min(r.variants.attend_prefill_workgroup, q.column_tile);
  const uint32_t workgroup = q.column_tile % wanted == 0 ? wanted : q.column_tile;
  const AttendPrefillArgs args{.q = 0, .columns = 0, .sequences = 0, .dst = 0, .page = shape.page, .layer = shape.layer, .q_heads = shape.q_heads,
                               .window = shape.window, .scale = shape.scale, .column_count = q.column_count};
  Work work = attention_work(shape, tables.reads, shape.q_heads / shape.page.kv_heads);
  work.bytes += in.size_bytes + out.size_bytes;
  const KernelVariant kernel{KernelId::attend_prefill, WeightType::none,
                             {workgroup, q.column_tile, workgroup, prefill_page_lanes(r.variants, shape.page, workgroup)}};
  return record(r, kernel, args, {in, slices.columns, slices.sequences, out}, {q.column_count / q.column_tile, shape.q_heads, 1}, work,
                page_accesses(tables, AccessMode::read));
}

uint64_t attend_partials_bytes(uint32_t column_count, uint32_t q_heads, uint32_t v_dim, uint32_t split_count) {
  return uint64_t{4} * column_count * q_heads * split_count * (uint64_t{v_dim} + 2);
}

uint32_t split_count_for(const VariantSet& variants, uint32_t slot, uint32_t window) {
  return slot / variants.split_slots - first_visible_slot(slot, window) / variants.split_slots + 1;
}

Status record_attend_decode(Recorder r, const Activation& q, const AttentionShape& shape, const StepTables& tables, uint32_t split_count,
                            BufferSlice partials) {
  QUIRE_TRY(check_attention_shape(shape));
  QUIRE_TRY(check_heads(q, shape.q_heads, shape.page.k_dim, "width of the queries"));
  QUIRE_TRY(expect_equal(q.column_tile, 1, "column tile of the queries"));
  if (split_count == 0) return make_error(Code::invalid_argument, "attention needs at least one split");
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(q, "queries"));
  QUIRE_ASSIGN(const BufferSlice out,
               first_bytes(partials, attend_partials_bytes(q.column_count, shape.q_heads, shape.page.v_dim, split_count), "partial attention"));
  QUIRE_ASSIGN(const TableSlices slices, table_slices(tables, q.column_count));
  const uint32_t group = shape.q_heads / shape.page.kv_heads;
  const uint32_t passes = ceil_div(group, kMaxGroupHeads);
  const AttendDecodeArgs args{.q = 0, .columns = 0, .sequences = 0, .partials = 0, .page = shape.page, .layer = shape.layer, .q_heads = shape.q_heads,
                              .window = shape.window, .scale = shape.scale, .column_count = q.column_count, .split_count = split_count};
  Work work = attention_work(shape, tables.reads, passes);
  work.bytes += in.size_bytes + out.size_bytes;
  const uint32_t workgroup = r.variants.attend_decode_workgroup;
  const uint32_t row_lanes = decode_page_lanes(r.variants, shape.page);
  const uint32_t lane_keys = std::clamp(r.variants.split_slots / workgroup, 1u, row_lanes > 1 ? kMaxLaneKeysOfRows : kMaxLaneKeys);
  uint32_t lane_pairs = std::clamp(shape.page.v_dim / 2 / workgroup, 1u, kMaxLanePairs);
  // Lanes that load together have no pairs past the last, and powers of two begin where a group of a q8 row does, or end within it.
  if (row_lanes > 1)
    for (lane_pairs = kMaxLanePairs; shape.page.v_dim / 2 / row_lanes % lane_pairs != 0;) lane_pairs /= 2;
  const KernelVariant kernel{KernelId::attend_decode, WeightType::none,
                             {workgroup, r.variants.split_slots, ceil_div(group, passes), lane_keys, lane_pairs, workgroup, row_lanes, shape.page.k_dim,
                              shape.page.v_dim}};
  return record(r, kernel, args, {in, slices.columns, slices.sequences, out}, {split_count, shape.page.kv_heads * passes, q.column_count}, work,
                page_accesses(tables, AccessMode::read));
}

Status record_attend_merge(Recorder r, BufferSlice partials, uint32_t split_count, const AttentionShape& shape, BufferSlice columns,
                           const Activation& dst) {
  QUIRE_TRY(check_attention_shape(shape));
  QUIRE_TRY(check_heads(dst, shape.q_heads, shape.page.v_dim, "width of the attended values"));
  QUIRE_TRY(expect_equal(dst.column_tile, 1, "column tile of the attended values"));
  if (split_count == 0) return make_error(Code::invalid_argument, "attention needs at least one split");
  QUIRE_ASSIGN(const BufferSlice out, activation_slice(dst, "attended values"));
  QUIRE_ASSIGN(const BufferSlice in,
               first_bytes(partials, attend_partials_bytes(dst.column_count, shape.q_heads, shape.page.v_dim, split_count), "partial attention"));
  QUIRE_ASSIGN(const BufferSlice column_infos, first_bytes(columns, uint64_t{dst.column_count} * sizeof(ColumnInfo), "columns"));
  const AttendMergeArgs args{.partials = 0, .columns = 0, .dst = 0, .q_heads = shape.q_heads, .v_dim = shape.page.v_dim, .window = shape.window,
                             .column_count = dst.column_count, .split_count = split_count};
  const uint32_t row_lanes = decode_page_lanes(r.variants, shape.page);
  const uint32_t workgroup = row_lanes > 1 ? row_lanes : r.variants.elementwise_workgroup;
  const KernelVariant kernel{KernelId::attend_merge, WeightType::none, {workgroup, r.variants.split_slots, r.variants.attend_decode_workgroup, row_lanes, shape.page.v_dim}};
  return record(r, kernel, args, {in, column_infos, out},
                {ceil_div(shape.page.v_dim, workgroup), shape.q_heads, dst.column_count}, {.bytes = in.size_bytes + out.size_bytes, .macs = in.size_bytes / 4});
}

}  // namespace quire
