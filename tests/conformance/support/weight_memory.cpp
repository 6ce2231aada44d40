#include "tests/conformance/support/weight_memory.hpp"

#include <cmath>
#include <cstring>

#include "engine/base/half.hpp"
#include "engine/device/reference/weight_blocks.hpp"
#include "engine/forward/weight_layout.hpp"

namespace quire::conformance {
namespace {

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
  const TestPart& part = part_of(matrix, row);
  const std::vector<float> values = matrix_row(matrix, row);
  std::vector<double> magnitude(values.size());
  for (size_t k = 0; k < values.size(); ++k) {
    magnitude[k] = std::abs(static_cast<double>(values[k]));
    const std::byte* row_bytes = file_row(matrix, part, row);
    if (part.type == WeightType::q4_1) {
      reference::BlockQ41 block;
      std::memcpy(&block, row_bytes + k / 32 * sizeof(block), sizeof(block));
      const double scale = std::abs(static_cast<double>(half_to_float(block.scale)));
      const double minimum = half_to_float(block.minimum);
      magnitude[k] = 16 * scale + std::abs(values[k] - minimum) + std::abs(minimum) + 16 * scale;
    } else if (part.type == WeightType::q8_0) {
      reference::BlockQ80 block;
      std::memcpy(&block, row_bytes + k / 32 * sizeof(block), sizeof(block));
      const double scale = std::abs(static_cast<double>(half_to_float(block.scale)));
      magnitude[k] = 384 * scale + std::abs(values[k]) + 384 * scale;
    }
  }
  return magnitude;
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
