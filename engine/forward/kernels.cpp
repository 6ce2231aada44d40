// The kernels of activations and weights, and the searches over logits. Attention is in kernels_attention.cpp.
#include "engine/forward/kernels.hpp"

#include <algorithm>

#include "engine/forward/kernel_recording.hpp"
#include "engine/forward/weight_layout.hpp"

namespace quire {
namespace {

Status check_weights(const WeightMatrix& weights, const char* what) {
  uint32_t next_row = 0;
  for (const WeightPart& part : weights.parts) {
    QUIRE_TRY(expect_equal(part.row_begin, next_row, what));
    if (part.row_count == 0) return make_error(Code::invalid_argument, "%s has a part without rows at row %u", what, next_row);
    next_row += part.row_count;
  }
  return expect_equal(next_row, weights.rows, what);
}

/// A part's bytes in the device's layout, exactly.
Result<BufferSlice> weight_slice(Recorder r, const WeightPart& part, uint32_t width) {
  return first_bytes(part.slice, packed_bytes(r.variants.weight_layout, r.variants.tile_rows, part.type, part.row_count, width), "weights");
}

struct MatmulOperands {
  BufferSlice src;
  BufferSlice codes;  ///< of src; may be empty
  BufferSlice dst;
  BufferSlice residual;
  BufferSlice bias;
};

/// Columns that an invocation of matmul_few has, as evenly as they divide.
uint32_t few_columns(const VariantSet& v, uint32_t column_count) { return ceil_div(column_count, ceil_div(column_count, v.few_max_columns)); }

/// Tiles that an invocation has; with a gate pairs of them.
uint32_t tiles_for(uint32_t tiles, uint32_t gate) { return gate == MATMUL_PLAIN ? tiles : std::max(tiles / 2 * 2, 2U); }

uint32_t few_tiles(const VariantSet& v, uint32_t columns, uint32_t gate) {
  // Accumulators of all columns and rows share the registers, but an activation should still serve a few rows. Rows that take turns have them to themselves.
  const bool rows_in_turn = v.lanes_per_load > 1 && columns >= 4;
  return tiles_for(rows_in_turn ? v.few_tiles_per_lane : std::max(v.few_tiles_per_lane / columns, ceil_div(v.few_tiles_per_lane, 2U)), gate);
}

bool is_cooperative(const VariantSet& v, uint32_t column_tile) { return column_tile == MATMUL_COOPERATIVE_COLUMN_TILE && v.cooperative_shape.rows != 0; }

bool in_int8(const WeightPart& part, const BufferSlice& codes) { return codes && weight_type_info(part.type).has_scales(); }

/// Whether one dispatch can compute gate and up and join them: both are LANES rows in an invocation.
bool can_gate(const VariantSet& v, const WeightMatrix& gate_up, const Activation& src) {
  if (gate_up.parts.size() != 1 || gate_up.rows / 2 % v.lanes != 0 || in_int8(gate_up.parts[0], src.codes)) return false;
  if (src.column_tile > 1) return !is_cooperative(v, src.column_tile);
  const uint32_t columns = few_columns(v, src.column_count);
  const uint32_t tiles = few_tiles(v, columns, MATMUL_GATED(GATE_SILU));
  // Partial sums must fit what every device has, for the device is not known here.
  return v.few_k_parts == 1 || sizeof(float) * v.lanes * v.few_k_parts * tiles * columns <= Limits{}.max_shared_bytes;
}

/// Many columns: a workgroup a tile of columns and a few weight tiles.
Status record_matmul_many(Recorder r, const WeightPart& part, const MatmulOperands& operands, BufferSlice weights, const MatmulArgs& args,
                          uint32_t column_tile, Work work) {
  const VariantSet& v = r.variants;
  const uint32_t tiles_per_lane = tiles_for(v.many_tiles_per_lane, args.gate);
  const KernelVariant kernel{KernelId::matmul_many, part.type,
                             {v.lanes * v.many_k_parts, v.lanes, column_tile, tiles_per_lane, v.many_k_parts, v.tile_rows, v.lanes_per_load}};
  const uint32_t tiles = ceil_div(part.row_count, v.lanes);
  const uint32_t column_tiles = args.column_count / column_tile;
  work.bytes += weights.size_bytes * column_tiles;
  return record(r, kernel, args, {weights, operands.src, operands.dst, operands.residual, operands.bias},
                linear_grid(ceil_div(tiles, tiles_per_lane), column_tiles), work);
}

/// The same of codes.
Status record_matmul_int8(Recorder r, const WeightPart& part, const MatmulOperands& operands, BufferSlice weights, const MatmulArgs& args, uint32_t column_tile,
                          Work work) {
  const VariantSet& v = r.variants;
  const KernelVariant kernel{KernelId::matmul_int8, part.type, {v.lanes, v.lanes, column_tile, v.many_tiles_per_lane, v.tile_rows}};
  const uint32_t tiles = ceil_div(part.row_count, v.lanes);
  const uint32_t column_tiles = args.column_count / column_tile;
  work.bytes += weights.size_bytes * column_tiles + operands.codes.size_bytes - operands.src.size_bytes;
  return record(r, kernel, args, {weights, operands.codes, operands.dst, operands.residual, operands.bias},
                linear_grid(ceil_div(tiles, v.many_tiles_per_lane), column_tiles), work);
}

/// On cooperative matrices.
Status record_matmul_cooperative(Recorder r, const WeightPart& part, const MatmulOperands& operands, BufferSlice weights, const MatmulArgs& args, Work work) {
  const VariantSet& v = r.variants;
  const KernelVariant kernel{KernelId::matmul_cooperative, part.type, {4 * v.cooperative_subgroup, v.cooperative_subgroup, v.cooperative_shape.rows,
                                                                       v.cooperative_shape.columns, v.cooperative_shape.depth, v.tile_rows}};
  const uint32_t column_groups = ceil_div(args.column_count / MATMUL_COOPERATIVE_COLUMN_TILE, MATMUL_COOPERATIVE_COLUMN_TILES);
  work.bytes += weights.size_bytes * column_groups;
  return record(r, kernel, args, {weights, operands.src, operands.dst, operands.residual, operands.bias},
                linear_grid(ceil_div(part.row_count, MATMUL_COOPERATIVE_ROWS), column_groups), work);
}

/// One to a few columns an invocation. A column's result does not depend on how many share its invocation.
Status record_matmul_few(Recorder r, const WeightPart& part, const MatmulOperands& operands, BufferSlice weights, const MatmulArgs& args, Work work) {
  const VariantSet& v = r.variants;
  const uint32_t column_groups = ceil_div(args.column_count, v.few_max_columns);
  const uint32_t columns = few_columns(v, args.column_count);
  const uint32_t tiles_per_lane = few_tiles(v, columns, args.gate);
  const KernelVariant kernel{KernelId::matmul_few, part.type, {v.lanes * v.few_k_parts, v.lanes, columns, tiles_per_lane, v.few_k_parts, v.tile_rows, v.lanes_per_load}};
  const uint32_t tiles = ceil_div(part.row_count, v.lanes);
  work.bytes += weights.size_bytes * column_groups;
  return record(r, kernel, args, {weights, operands.src, operands.dst, operands.residual, operands.bias},
                linear_grid(ceil_div(tiles, tiles_per_lane), column_groups), work);
}

/// The kernel that suits the columns.
Status record_product(Recorder r, const WeightPart& part, const MatmulOperands& operands, const MatmulArgs& args, uint32_t column_tile, Work work) {
  QUIRE_ASSIGN(const BufferSlice weights, weight_slice(r, part, args.width));
  if (in_int8(part, operands.codes)) return record_matmul_int8(r, part, operands, weights, args, column_tile, work);
  if (is_cooperative(r.variants, column_tile)) return record_matmul_cooperative(r, part, operands, weights, args, work);
  if (column_tile > 1) return record_matmul_many(r, part, operands, weights, args, column_tile, work);
  return record_matmul_few(r, part, operands, weights, args, work);
}

/// What every product asks of its matrix, source and result.
Result<MatmulOperands> product_operands(const WeightMatrix& weights, const Activation& src, const Activation& dst) {
  QUIRE_TRY(check_weights(weights, "rows of the matrix"));
  QUIRE_TRY(expect_equal(src.width, weights.width, "width of the matrix's source"));
  QUIRE_TRY(expect_equal(dst.column_count, src.column_count, "column count of the product"));
  QUIRE_TRY(expect_equal(dst.column_tile, src.column_tile, "column tile of the product"));
  MatmulOperands operands;
  QUIRE_ASSIGN(operands.src, activation_slice(src, "source of the product"));
  QUIRE_ASSIGN(operands.dst, activation_slice(dst, "product"));
  if (src.codes) {
    QUIRE_ASSIGN(operands.codes, first_bytes(src.codes, Activation::code_bytes(src.width, src.column_count), "codes of the product's source"));
  }
  return operands;
}

/// Whole columns of a tile side by side, several invocations to each where the workgroup has room.
uint32_t norm_workgroup(Recorder r, uint32_t column_tile) { return column_tile * std::max(1u, r.variants.norm_workgroup / column_tile); }

}  // namespace

Status record_embed_rows(Recorder r, const WeightMatrix& table, BufferSlice columns, const Activation& dst, float scale) {
  QUIRE_TRY(check_weights(table, "rows of the embedding table"));
  QUIRE_TRY(expect_equal(dst.width, table.width, "width of the embedded tokens"));
  QUIRE_ASSIGN(const BufferSlice out, activation_slice(dst, "embedded tokens"));
  QUIRE_ASSIGN(const BufferSlice column_infos, first_bytes(columns, uint64_t{dst.column_count} * sizeof(ColumnInfo), "columns"));
  const uint32_t workgroup = r.variants.elementwise_workgroup;
  for (const WeightPart& part : table.parts) {
    QUIRE_ASSIGN(const BufferSlice weights, weight_slice(r, part, table.width));
    const EmbedRowsArgs args{.weights = 0, .columns = 0, .dst = 0, .width = table.width, .column_count = dst.column_count, .row_begin = part.row_begin,
                             .row_count = part.row_count, .scale = scale};
    const uint64_t invocations = uint64_t{ceil_div(table.width, weight_type_info(part.type).group_elements)} * dst.column_count;
    const Work work{.bytes = out.size_bytes + dst.column_count * weights.size_bytes / part.row_count, .macs = out.size_bytes / 4};
    QUIRE_TRY(record(r, {KernelId::embed_rows, part.type, {workgroup, r.variants.tile_rows, dst.column_tile}}, args, {weights, column_infos, out},
                     linear_grid(ceil_div<uint64_t>(invocations, workgroup)), work));
  }
  return {};
}

Status record_rms_norm(Recorder r, const Activation& src, BufferSlice weight, float epsilon, const Activation& dst, BufferSlice residual) {
  QUIRE_TRY(expect_equal(dst.width, src.width, "width of the normed activation"));
  QUIRE_TRY(expect_equal(dst.column_count, src.column_count, "column count of the normed activation"));
  QUIRE_TRY(expect_equal(dst.column_tile, src.column_tile, "column tile of the normed activation"));
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(src, "activation to norm"));
  QUIRE_ASSIGN(const BufferSlice out, activation_slice(dst, "normed activation"));
  QUIRE_ASSIGN(const BufferSlice weights, first_bytes(weight, uint64_t{4} * src.width, "norm weight"));
  BufferSlice added;
  if (residual) {
    QUIRE_ASSIGN(added, activation_slice({residual, dst.width, dst.column_count, dst.column_tile}, "residual"));
  }
  const RmsNormArgs args{.src = 0, .weight = 0, .dst = 0, .residual = 0, .width = src.width, .column_count = src.column_count, .epsilon = epsilon};
  return record(r, {KernelId::rms_norm, WeightType::none, {norm_workgroup(r, src.column_tile), src.column_tile}}, args, {in, weights, out, added},
                linear_grid(src.column_count / src.column_tile),
                {.bytes = 2 * in.size_bytes + out.size_bytes + added.size_bytes, .macs = in.size_bytes / 2});
}

Status record_head_norm(Recorder r, const Activation& qkv, const AttentionShape& shape, BufferSlice query_weight, BufferSlice key_weight, float epsilon) {
  QUIRE_TRY(check_attention_shape(shape));
  const PageShape& page = shape.page;
  const uint32_t heads = shape.q_heads + page.kv_heads;
  QUIRE_TRY(expect_equal(qkv.width, uint64_t{heads} * page.k_dim + uint64_t{page.kv_heads} * page.v_dim, "width of the projected Q, K and V"));
  QUIRE_ASSIGN(const BufferSlice values, activation_slice(qkv, "projected Q, K and V"));
  QUIRE_ASSIGN(const BufferSlice of_query, first_bytes(query_weight, uint64_t{4} * page.k_dim, "norm weight of the queries"));
  QUIRE_ASSIGN(const BufferSlice of_key, first_bytes(key_weight, uint64_t{4} * page.k_dim, "norm weight of the keys"));
  const HeadNormArgs args{.qkv = 0, .query_weight = 0, .key_weight = 0, .width = qkv.width, .column_count = qkv.column_count, .q_heads = shape.q_heads,
                          .kv_heads = page.kv_heads, .k_dim = page.k_dim, .epsilon = epsilon};
  const uint64_t normed_bytes = Activation::bytes(uint64_t{heads} * page.k_dim, qkv.column_count);
  return record(r, {KernelId::head_norm, WeightType::none, {norm_workgroup(r, qkv.column_tile), qkv.column_tile}}, args, {values, of_query, of_key},
                linear_grid(heads, qkv.column_count / qkv.column_tile), {.bytes = 3 * normed_bytes, .macs = normed_bytes / 2});
}

Status record_quantize_columns(Recorder r, const Activation& src, BufferSlice codes) {
  if (src.width % QUANTIZED_BLOCK != 0)
    return make_error(Code::invalid_argument, "an activation %u wide cannot be quantized in blocks of %u", src.width, QUANTIZED_BLOCK);
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(src, "activation to quantize"));
  QUIRE_ASSIGN(const BufferSlice out, first_bytes(codes, Activation::code_bytes(src.width, src.column_count), "codes of an activation"));
  const QuantizeColumnsArgs args{.src = 0, .dst = 0, .width = src.width, .column_count = src.column_count};
  const uint32_t workgroup = r.variants.elementwise_workgroup;
  const uint64_t blocks = uint64_t{src.width / QUANTIZED_BLOCK} * src.column_tile;
  return record(r, {KernelId::quantize_columns, WeightType::none, {workgroup, src.column_tile}}, args, {in, out},
                linear_grid(ceil_div<uint64_t>(blocks, workgroup), src.column_count / src.column_tile),
                {.bytes = in.size_bytes + out.size_bytes, .macs = in.size_bytes / 4});
}

Status record_matmul(Recorder r, const WeightMatrix& weights, const Activation& src, const Activation& dst, uint32_t row_offset, BufferSlice bias,
                     BufferSlice residual) {
  QUIRE_ASSIGN(MatmulOperands operands, product_operands(weights, src, dst));
  if (uint64_t{row_offset} + weights.rows > dst.width)
    return make_error(Code::invalid_argument, "rows %u to %llu do not fit a product of %u rows", row_offset,
                      static_cast<unsigned long long>(uint64_t{row_offset} + weights.rows), dst.width);
  if (residual) {
    QUIRE_ASSIGN(operands.residual, activation_slice({residual, dst.width, dst.column_count, dst.column_tile}, "residual"));
  }
  if (bias) {
    QUIRE_ASSIGN(operands.bias, first_bytes(bias, uint64_t{4} * dst.width, "bias"));
  }
  for (const WeightPart& part : weights.parts) {
    const MatmulArgs args{.weights = 0, .src = 0, .dst = 0, .residual = 0, .bias = 0, .rows = part.row_count, .width = weights.width,
                          .column_count = src.column_count, .row_offset = row_offset + part.row_begin, .dst_width = dst.width, .gate = MATMUL_PLAIN};
    const uint64_t products = uint64_t{part.row_count} * src.column_count;
    const Work work{.bytes = operands.src.size_bytes + (residual ? 8 : 4) * products, .macs = products * weights.width};
    QUIRE_TRY(record_product(r, part, operands, args, src.column_tile, work));
  }
  return {};
}

Status record_gated_matmul(Recorder r, const WeightMatrix& gate_up, const Activation& src, GateFunction function, BufferSlice bias, const Activation& products,
                           const Activation& dst) {
  QUIRE_ASSIGN(MatmulOperands operands, product_operands(gate_up, src, dst));
  QUIRE_TRY(expect_equal(gate_up.rows, uint64_t{2} * dst.width, "rows of gate and up"));
  if (!can_gate(r.variants, gate_up, src)) {
    QUIRE_TRY(record_matmul(r, gate_up, src, products, 0, bias));
    return record_gated_activation(r, products, function, dst);
  }
  if (bias) {
    QUIRE_ASSIGN(operands.bias, first_bytes(bias, uint64_t{4} * gate_up.rows, "bias"));
  }
  const MatmulArgs args{.weights = 0, .src = 0, .dst = 0, .residual = 0, .bias = 0, .rows = gate_up.rows, .width = gate_up.width,
                        .column_count = src.column_count, .row_offset = 0, .dst_width = dst.width, .gate = MATMUL_GATED(static_cast<uint32_t>(function))};
  const Work work{.bytes = operands.src.size_bytes + operands.dst.size_bytes, .macs = uint64_t{gate_up.rows} * src.column_count * gate_up.width};
  return record_product(r, gate_up.parts[0], operands, args, src.column_tile, work);
}

Status record_gated_activation(Recorder r, const Activation& gate_up, GateFunction function, const Activation& dst) {
  QUIRE_TRY(expect_equal(gate_up.width, uint64_t{2} * dst.width, "width of gate and up"));
  QUIRE_TRY(expect_equal(gate_up.column_count, dst.column_count, "column count of gate and up"));
  QUIRE_TRY(expect_equal(gate_up.column_tile, dst.column_tile, "column tile of gate and up"));
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(gate_up, "gate and up"));
  QUIRE_ASSIGN(const BufferSlice out, activation_slice(dst, "gated activation"));
  const GatedActivationArgs args{.gate_up = 0, .dst = 0, .width = dst.width, .column_count = dst.column_count};
  const uint32_t workgroup = r.variants.elementwise_workgroup;
  return record(r, {KernelId::gated_activation, WeightType::none, {workgroup, dst.column_tile, static_cast<uint32_t>(function)}}, args, {in, out},
                linear_grid(ceil_div<uint64_t>(uint64_t{dst.width} * dst.column_tile, workgroup), dst.column_count / dst.column_tile),
                {.bytes = in.size_bytes + out.size_bytes, .macs = out.size_bytes});
}

Status record_gather_columns(Recorder r, const Activation& src, BufferSlice selection, const Activation& dst) {
  QUIRE_TRY(expect_equal(dst.width, src.width, "width of the gathered columns"));
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(src, "columns to gather from"));
  QUIRE_ASSIGN(const BufferSlice out, activation_slice(dst, "gathered columns"));
  QUIRE_ASSIGN(const BufferSlice indices, first_bytes(selection, uint64_t{4} * dst.column_count, "selection of columns"));
  const GatherColumnsArgs args{.src = 0, .selection = 0, .dst = 0, .width = dst.width, .column_count = dst.column_count};
  const uint32_t workgroup = r.variants.elementwise_workgroup;
  return record(r, {KernelId::gather_columns, WeightType::none, {workgroup, src.column_tile, dst.column_tile}}, args, {in, indices, out},
                {ceil_div(dst.width, workgroup), 1, dst.column_count}, {.bytes = 2 * out.size_bytes, .macs = 0});
}

Status record_argmax(Recorder r, const Activation& logits, BufferSlice results) {
  QUIRE_TRY(expect_equal(logits.column_tile, 1, "column tile of logits"));
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(logits, "logits"));
  QUIRE_ASSIGN(const BufferSlice out, first_bytes(results, uint64_t{logits.column_count} * sizeof(ArgmaxResult), "results of argmax"));
  const ArgmaxArgs args{.logits = 0, .results = 0, .vocabulary = logits.width, .row_count = logits.column_count};
  return record(r, {KernelId::argmax, WeightType::none, {r.variants.search_workgroup}}, args, {in, out}, linear_grid(logits.column_count),
                {.bytes = in.size_bytes, .macs = 0});
}

Status record_sample(Recorder r, const Activation& logits, BufferSlice rows, BufferSlice results) {
  QUIRE_TRY(expect_equal(logits.column_tile, 1, "column tile of logits"));
  if (logits.width > SAMPLING_ROW_LIMIT)
    return make_error(Code::invalid_argument, "a row of %u logits is longer than the %u that can be sampled from", logits.width, SAMPLING_ROW_LIMIT);
  QUIRE_ASSIGN(const BufferSlice in, activation_slice(logits, "logits"));
  QUIRE_ASSIGN(const BufferSlice how, first_bytes(rows, uint64_t{logits.column_count} * sizeof(SamplingRow), "rows of sample"));
  QUIRE_ASSIGN(const BufferSlice out, first_bytes(results, uint64_t{logits.column_count} * sizeof(SampleResult), "results of sample"));
  const SampleArgs args{.logits = 0, .rows = 0, .results = 0, .vocabulary = logits.width, .row_count = logits.column_count};
  return record(r, {KernelId::sample, WeightType::none, {r.variants.search_workgroup}}, args, {in, how, out}, linear_grid(logits.column_count),
                {.bytes = 3 * in.size_bytes, .macs = 0});
}

Status record_persistent_step(Recorder r, const PersistentProgram& program, const PersistentRun& run, std::span<const Access> accesses, Work work) {
  QUIRE_ASSIGN(const BufferSlice progress, first_bytes(run.progress, program.progress_bytes(), "progress of a persistent step"));
  if (run.worker_count == 0) return make_error(Code::invalid_argument, "a persistent step needs a worker");
  const PersistentStepArgs args{.operations = 0, .progress = 0, .operation_count = program.operation_count, .spin_bound = run.spin_bound};
  return record(r, program.kernel, args, {program.operations.slice(), progress}, {run.worker_count, 1, 1}, work, accesses);
}

}  // namespace quire
