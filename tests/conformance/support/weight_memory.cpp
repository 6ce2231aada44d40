#include "tests/conformance/support/weight_memory.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/device/reference/weight_blocks.hpp"
#include "engine/forward/weight_layout.hpp"
#include "tests/conformance/support/case_plan.hpp"

namespace quire::conformance {
namespace {

/// Weights that share one scale: every type has runs of this many, or of a multiple.
constexpr size_t kScaleRun = 16;
/// What a weight's terms, scale * code and offset, may add up to, by the largest weight of its run: a code of n bits is 1 to 2 times 2^n steps there, and
/// the offset at most 1.5 times, while the run's largest weight is a quarter of its 2^n steps or more.
constexpr double kTermsOfWeight = 16;

const TestPart& part_of(const TestMatrix& matrix, uint32_t row) {
  for (const TestPart& part : matrix.parts)
    if (row - part.row_begin < part.row_count) return part;
  return matrix.parts.back();
}

const std::byte* file_row(const TestMatrix& matrix, const TestPart& part, uint32_t row) {
  return part.file_rows.data() + (row - part.row_begin) * reference::weight_row_bytes(part.type, matrix.width);
}

}  // namespace

TestMatrix make_matrix(Random& random, Values values, const std::vector<WeightType>& types, uint32_t rows, uint32_t width) {
  TestMatrix matrix{rows, width, {}};
  const auto count = static_cast<uint32_t>(types.size());
  for (uint32_t p = 0; p < count; ++p) {
    const uint32_t begin = rows * p / count;
    const uint32_t end = rows * (p + 1) / count;
    matrix.parts.push_back({types[p], begin, end - begin, random_weight_rows(random, types[p], values, end - begin, width)});
  }
  return matrix;
}

std::vector<float> matrix_row(const TestMatrix& matrix, uint32_t row) {
  const TestPart& part = part_of(matrix, row);
  std::vector<float> values(matrix.width);
  reference::unpack_weight_row(part.type, file_row(matrix, part, row), values);
  return values;
}

std::vector<double> matrix_row_magnitude(const TestMatrix& matrix, uint32_t row) {
  const std::vector<float> values = matrix_row(matrix, row);
  const bool scaled = reference::block_format(part_of(matrix, row).type).scale_offset.has_value();
  const size_t run = scaled ? kScaleRun : 1;
  std::vector<double> magnitude(values.size());
  for (size_t begin = 0; begin < values.size(); begin += run) {
    double largest = 0;
    for (size_t k = begin; k < begin + run; ++k) largest = std::max(largest, std::abs(static_cast<double>(values[k])));
    std::fill_n(magnitude.begin() + static_cast<std::ptrdiff_t>(begin), run, scaled ? kTermsOfWeight * largest : largest);
  }
  return magnitude;
}

std::vector<std::vector<WeightType>> weight_type_lists(bool (*belongs)(const WeightTypeInfo&)) {
  std::vector<std::vector<WeightType>> lists;
  for (const WeightTypeInfo& info : weight_types())
    if (belongs(info)) lists.push_back({info.type});
  lists.push_back({WeightType::q4_1, WeightType::q8_0, WeightType::f16});
  lists.push_back({WeightType::q4_k, WeightType::q5_0, WeightType::q6_k, WeightType::bf16});
  return types_of_run(lists);
}

uint32_t common_block_elements(const std::vector<WeightType>& types) {
  uint32_t elements = 1;
  for (const WeightType type : types) elements = std::lcm(elements, reference::block_format(type).elements);
  return elements;
}

uint32_t block_width(const std::vector<WeightType>& types, uint32_t index) {
  constexpr uint32_t kSmall[kBlockWidthCount] = {32, 64, 96, 160, 352}, kLargeBlocks[kBlockWidthCount] = {1, 2, 3, 4, 7};
  const uint32_t unit = common_block_elements(types);
  return unit == 32 ? kSmall[index] : unit * kLargeBlocks[index];
}

PlacedMatrix::PlacedMatrix(CaseMemory& memory, const TestMatrix& matrix) : memory_(memory), matrix_{matrix.rows, matrix.width, {}} {
  const WeightLayout layout = memory.device().device().limits().weight_layout;
  const uint32_t tile_rows = memory.device().variants().tile_rows;
  for (const TestPart& part : matrix.parts) {
    std::vector<std::byte> packed(packed_bytes(layout, tile_rows, part.type, part.row_count, matrix.width));
    pack_rows(layout, tile_rows, part.type, part.row_count, matrix.width, part.file_rows, packed);
    regions_.push_back(memory.add(packed));
    matrix_.parts.push_back({part.type, {}, part.row_begin, part.row_count});
  }
}

WeightMatrix PlacedMatrix::weights() const {
  WeightMatrix matrix = matrix_;
  for (size_t p = 0; p < regions_.size(); ++p) matrix.parts[p].slice = memory_.slice(regions_[p]);
  return matrix;
}

}  // namespace quire::conformance
