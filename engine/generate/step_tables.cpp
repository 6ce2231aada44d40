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
  layout.rope.push_back(take(uint64_t{columns} * hyper.rope_dimension_count * sizeof(float)));
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

std::vector<float> rope_angles(std::span<const ColumnInfo> columns, uint32_t rope_dim, double base) {
  const uint32_t pairs = rope_dim / 2;
  std::vector<double> frequency(pairs);
  for (uint32_t i = 0; i < pairs; ++i) frequency[i] = std::pow(base, -2.0 * i / rope_dim);
  std::vector<float> angles(size_t{2} * pairs * columns.size(), 0.0F);
  float* out = angles.data();
  for (const ColumnInfo& column : columns) {
    if (column.sequence == PADDING_COLUMN) {
      out += size_t{2} * pairs;
      continue;
    }
    for (uint32_t i = 0; i < pairs; ++i) {
      const double angle = column.position * frequency[i];
      *out++ = static_cast<float>(std::cos(angle));
      *out++ = static_cast<float>(std::sin(angle));
    }
  }
  return angles;
}

}  // namespace quire
