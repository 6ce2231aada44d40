#include "engine/generate/step_tables.hpp"

#include <cmath>

namespace quire {

StepTableLayout StepTableLayout::plan(const Hyperparameters& hyper, uint32_t group_count, uint32_t columns) {
  constexpr uint64_t kAlignment = 256;
  StepTableLayout layout;
  const auto take = [&](uint64_t bytes) {
    const ScratchLayout::Range range{layout.total_bytes, bytes};
    layout.total_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return range;
  };
  layout.columns = take(uint64_t{columns} * sizeof(ColumnInfo));
  for (uint32_t g = 0; g < group_count; ++g) layout.sequences.push_back(take(uint64_t{columns} * sizeof(SequenceInfo)));
  for (size_t kind = 0; kind < hyper.rope_kinds.size(); ++kind)
    layout.rope.push_back(take(uint64_t{columns} * hyper.rope_dimension_count * sizeof(float)));
  layout.output_columns = take(uint64_t{columns} * sizeof(ColumnInfo));
  layout.output_sources = take(uint64_t{columns} * sizeof(uint32_t));
  layout.selection = take(uint64_t{columns} * sizeof(uint32_t));
  layout.argmax = take(uint64_t{columns} * sizeof(ArgmaxResult));
  return layout;
}

Result<StepTableBuffer> StepTableBuffer::create(Device& device, const Hyperparameters& hyper, uint32_t group_count, uint32_t columns) {
  StepTableBuffer tables;
  tables.layout = StepTableLayout::plan(hyper, group_count, columns);
  QUIRE_ASSIGN(tables.buffer, device.create_buffer(tables.layout.total_bytes, BufferUse::device, "step tables"));
  return tables;
}

std::vector<float> rope_angles(std::span<const ColumnInfo> columns, const RopeFrequencies& rope) {
  std::vector<float> angles;
  angles.reserve(2 * rope.frequency.size() * columns.size());
  for (const ColumnInfo& column : columns) {
    if (column.sequence == PADDING_COLUMN) {
      angles.resize(angles.size() + 2 * rope.frequency.size(), 0.0F);
      continue;
    }
    for (const double frequency : rope.frequency) {
      const double angle = column.position * frequency;
      angles.push_back(static_cast<float>(std::cos(angle) * rope.magnitude));
      angles.push_back(static_cast<float>(std::sin(angle) * rope.magnitude));
    }
  }
  return angles;
}

}  // namespace quire
