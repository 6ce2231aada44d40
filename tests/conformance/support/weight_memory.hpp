// Weight matrices of a case: rows in the file's blocks, cut into parts, laid out for one device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/forward/kernels.hpp"
#include "tests/conformance/support/case_memory.hpp"
#include "tests/conformance/support/values.hpp"

namespace quire::conformance {

struct TestPart {
  WeightType type = WeightType::none;
  uint32_t row_begin = 0;
  uint32_t row_count = 0;
  std::vector<std::byte> file_rows;
};

struct TestMatrix {
  uint32_t rows = 0;
  uint32_t width = 0;
  std::vector<TestPart> parts;
};

/// One part if `types` has one element, else the rows are shared out among the types. Requires: rows >= types.size(), width suits every type.
TestMatrix make_matrix(Random& random, Values values, const std::vector<WeightType>& types, uint32_t rows, uint32_t width);

/// Row `row` as floats.
std::vector<float> matrix_row(const TestMatrix& matrix, uint32_t row);
/// For each element of a row a bound of the sum of the magnitudes of the terms it may be made of: kernels read a quantized code as the top of a float's
/// mantissa, 1 + code / 2^n, and take the constant off again.
std::vector<double> matrix_row_magnitude(const TestMatrix& matrix, uint32_t row);

/// Every type of those that `belongs` says alone, then mixtures of these and others as model files have them; of all that, this run's.
std::vector<std::vector<WeightType>> weight_type_lists(bool (*belongs)(const WeightTypeInfo&));

/// What the width of a matrix of these types is a multiple of.
uint32_t common_block_elements(const std::vector<WeightType>& types);
inline constexpr uint32_t kBlockWidthCount = 5;
/// Widths from one block of the types on, with remainders of groups and tiles. Requires: index < kBlockWidthCount, a type with blocks.
uint32_t block_width(const std::vector<WeightType>& types, uint32_t index);

/// A matrix in `memory`, in its device's layout.
class PlacedMatrix {
 public:
  PlacedMatrix(CaseMemory& memory, const TestMatrix& matrix);
  /// Requires: after memory.place().
  WeightMatrix weights() const;

 private:
  CaseMemory& memory_;
  WeightMatrix matrix_;
  std::vector<Region> regions_;
};

}  // namespace quire::conformance
