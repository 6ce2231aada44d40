#include "tests/conformance/support/column_runs.hpp"

#include <algorithm>

namespace quire::conformance {

Outcome run_matmul(TestDevice& device, const MatmulCase& c) {
  CaseMemory memory(device);
  const PlacedMatrix matrix(memory, c.matrix);
  const Region src = memory.add(bytes_of(c.src));
  const Region bias = memory.add(bytes_of(c.bias));
  const Region residual = memory.add(bytes_of(c.residual));
  const auto column_count = static_cast<uint32_t>(c.columns.size());
  const Region dst = memory.add_output(Activation::bytes(c.dst_width, column_count));
  const bool int8 = c.arithmetic == Arithmetic::int8;
  const bool floats_too = std::any_of(c.matrix.parts.begin(), c.matrix.parts.end(), [](const TestPart& part) { return !weight_type_info(part.type).has_scales(); });
  const Region codes = memory.add_output(int8 ? Activation::code_bytes(c.matrix.width, column_count) : 0);
  const Region poison = memory.add_poisoned(int8 ? bytes_of(c.src).size() : 0, RegionUse::input);
  memory.place();
  return run_case(memory, dst, [&](Recorder r) -> Status {
    Activation in{memory.slice(src), c.matrix.width, column_count, c.column_tile};
    if (int8) {
      QUIRE_TRY(record_quantize_columns(r, in, memory.slice(codes)));
      in.codes = memory.slice(codes);
      if (!floats_too) in.slice = memory.slice(poison);
    }
    return record_matmul(r, matrix.weights(), in, {memory.slice(dst), c.dst_width, column_count, c.column_tile}, c.row_offset, memory.slice(bias),
                         memory.slice(residual));
  });
}

Outcome run_quantize(TestDevice& device, const QuantizeCase& c) {
  CaseMemory memory(device);
  const Region src = memory.add(bytes_of(c.src));
  const auto column_count = static_cast<uint32_t>(c.columns.size());
  const Region codes = memory.add_output(Activation::code_bytes(c.width, column_count));
  memory.place();
  return run_case(memory, codes, [&](Recorder r) {
    return record_quantize_columns(r, {memory.slice(src), c.width, column_count, c.column_tile}, memory.slice(codes));
  });
}

Outcome run_gated_matmul(TestDevice& device, const GatedMatmulCase& c, GateSteps steps) {
  CaseMemory memory(device);
  const PlacedMatrix matrix(memory, c.matrix);
  const Region src = memory.add(bytes_of(c.src));
  const Region bias = memory.add(bytes_of(c.bias));
  const auto column_count = static_cast<uint32_t>(c.columns.size());
  const uint64_t product_bytes = Activation::bytes(c.matrix.rows, column_count);
  const std::vector<float> untouched(product_bytes / sizeof(float), kPoisonFloat);
  const Region products = steps == GateSteps::one ? memory.add(bytes_of(untouched)) : memory.add_output(product_bytes);
  const Region dst = memory.add_output(product_bytes / 2);
  memory.place();
  return run_case(memory, dst, [&](Recorder r) -> Status {
    const Activation in{memory.slice(src), c.matrix.width, column_count, c.column_tile};
    const Activation between{memory.slice(products), c.matrix.rows, column_count, c.column_tile};
    const Activation out{memory.slice(dst), c.matrix.rows / 2, column_count, c.column_tile};
    if (steps != GateSteps::two) return record_gated_matmul(r, matrix.weights(), in, c.function, memory.slice(bias), between, out);
    QUIRE_TRY(record_matmul(r, matrix.weights(), in, between, 0, memory.slice(bias)));
    return record_gated_activation(r, between, c.function, out);
  });
}

Outcome run_embed(TestDevice& device, const EmbedCase& c) {
  CaseMemory memory(device);
  const PlacedMatrix table(memory, c.table);
  const Region columns = memory.add(bytes_of(c.columns));
  const auto column_count = static_cast<uint32_t>(c.columns.size());
  const Region dst = memory.add_output(Activation::bytes(c.table.width, column_count));
  memory.place();
  return run_case(memory, dst, [&](Recorder r) {
    return record_embed_rows(r, table.weights(), memory.slice(columns), {memory.slice(dst), c.table.width, column_count, c.column_tile}, c.scale);
  });
}

Outcome run_norm(TestDevice& device, const NormCase& c) {
  CaseMemory memory(device);
  const Region src = memory.add(bytes_of(c.src));
  const Region weight = memory.add(bytes_of(c.weight));
  const Region residual = memory.add(bytes_of(c.residual));
  const Region dst = memory.add_output(bytes_of(c.src).size());
  memory.place();
  const auto column_count = static_cast<uint32_t>(c.columns.size());
  return run_case(memory, dst, [&](Recorder r) {
    return record_rms_norm(r, {memory.slice(src), c.width, column_count, c.column_tile}, memory.slice(weight), 1e-5f,
                           {memory.slice(dst), c.width, column_count, c.column_tile}, memory.slice(residual));
  });
}

Outcome run_head_norm(TestDevice& device, const HeadNormCase& c) {
  CaseMemory memory(device);
  const Region query_weight = memory.add(bytes_of(c.query_weight));
  const Region key_weight = memory.add(bytes_of(c.key_weight));
  const Region qkv = memory.add_output(bytes_of(c.qkv).size());
  memory.place();
  std::ranges::copy(bytes_of(c.qkv), memory.contents(qkv).begin());
  return run_case(memory, qkv, [&](Recorder r) {
    return record_head_norm(r, {memory.slice(qkv), c.width(), static_cast<uint32_t>(c.columns.size()), c.column_tile}, c.shape, memory.slice(query_weight),
                            memory.slice(key_weight), 1e-5f);
  });
}

Outcome run_gated(TestDevice& device, const GatedCase& c) {
  CaseMemory memory(device);
  const Region gate_up = memory.add(bytes_of(c.gate_up));
  const auto column_count = static_cast<uint32_t>(c.columns.size());
  const Region dst = memory.add_output(Activation::bytes(c.width, column_count));
  memory.place();
  return run_case(memory, dst, [&](Recorder r) {
    return record_gated_activation(r, {memory.slice(gate_up), 2 * c.width, column_count, c.column_tile}, c.function,
                                   {memory.slice(dst), c.width, column_count, c.column_tile});
  });
}

Outcome run_gather(TestDevice& device, const GatherCase& c) {
  CaseMemory memory(device);
  const Region src = memory.add(bytes_of(c.src));
  const Region selection = memory.add(bytes_of(c.selection));
  const auto column_count = static_cast<uint32_t>(c.selection.size());
  const Region dst = memory.add_output(Activation::bytes(c.width, column_count));
  memory.place();
  return run_case(memory, dst, [&](Recorder r) {
    return record_gather_columns(r, {memory.slice(src), c.width, c.src_columns, c.column_tile}, memory.slice(selection),
                                 {memory.slice(dst), c.width, column_count, c.dst_column_tile});
  });
}

}  // namespace quire::conformance
