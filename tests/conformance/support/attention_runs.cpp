#include "tests/conformance/support/attention_runs.hpp"

#include <algorithm>

namespace quire::conformance {
namespace {

uint32_t column_count(const AttentionCase& c) { return static_cast<uint32_t>(c.columns.size()); }

uint64_t partials_bytes(const AttentionCase& c, uint32_t split_count) {
  return attend_partials_bytes(column_count(c), c.shape.q_heads, c.shape.page.v_dim, split_count);
}

}  // namespace

Outcome run_prefill(TestDevice& device, const AttentionCase& c) {
  CaseMemory memory(device);
  AttentionMemory pages(memory, c);
  const Region q = memory.add(bytes_of(c.q));
  const Region dst = memory.add_output(Activation::bytes(c.dst_width(), column_count(c)));
  memory.place();
  pages.fill();
  return run_case(memory, dst, [&](Recorder r) {
    return record_attend_prefill(r, {memory.slice(q), c.q_width(), column_count(c), c.column_tile}, c.shape, pages.tables(),
                                 {memory.slice(dst), c.dst_width(), column_count(c), c.column_tile});
  });
}

uint32_t case_split_count(const AttentionCase& c, const VariantSet& variants) {
  uint32_t count = 1;
  for (const ColumnInfo& column : c.columns)
    if (column.sequence != PADDING_COLUMN) count = std::max(count, split_count_for(variants, column.slot, c.shape.window));
  return count;
}

Outcome run_decode(TestDevice& device, const AttentionCase& c, uint32_t split_count) {
  CaseMemory memory(device);
  AttentionMemory pages(memory, c);
  const Region q = memory.add(bytes_of(c.q));
  const Region partials = memory.add_output(partials_bytes(c, split_count));
  memory.place();
  pages.fill();
  return run_case(memory, partials, [&](Recorder r) {
    return record_attend_decode(r, {memory.slice(q), c.q_width(), column_count(c), 1}, c.shape, pages.tables(), split_count, memory.slice(partials));
  });
}

Outcome run_merge(TestDevice& device, const AttentionCase& c, uint32_t split_count, const std::vector<float>& partials) {
  CaseMemory memory(device);
  const Region columns = memory.add(bytes_of(c.columns));
  const Region in = memory.add(bytes_of(partials));
  const Region dst = memory.add_output(Activation::bytes(c.dst_width(), column_count(c)));
  memory.place();
  return run_case(memory, dst, [&](Recorder r) {
    return record_attend_merge(r, memory.slice(in), split_count, c.shape, memory.slice(columns), {memory.slice(dst), c.dst_width(), column_count(c), 1});
  });
}

Outcome run_decode_and_merge(TestDevice& device, const AttentionCase& c, uint32_t split_count) {
  CaseMemory memory(device);
  AttentionMemory pages(memory, c);
  const Region q = memory.add(bytes_of(c.q));
  const Region partials = memory.add_output(partials_bytes(c, split_count));
  const Region dst = memory.add_output(Activation::bytes(c.dst_width(), column_count(c)));
  memory.place();
  pages.fill();
  return run_case(memory, dst, [&](Recorder r) -> Status {
    const StepTables tables = pages.tables();
    QUIRE_TRY(record_attend_decode(r, {memory.slice(q), c.q_width(), column_count(c), 1}, c.shape, tables, split_count, memory.slice(partials)));
    return record_attend_merge(r, memory.slice(partials), split_count, c.shape, tables.columns, {memory.slice(dst), c.dst_width(), column_count(c), 1});
  });
}

}  // namespace quire::conformance
