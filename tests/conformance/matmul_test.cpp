// matmul_many and matmul_few against the reference.
#include <cmath>
#include <doctest/doctest.h>
#include <iterator>

#include "tests/conformance/support/column_runs.hpp"

namespace quire::conformance {
namespace {

// Tolerance: 1e-6 of the sum of the magnitudes of everything added (a few units in the last place: rounding errors mostly cancel); none at all for
// Values::exact, where no sum rounds.
void compare_matmul(const MatmulCase& c, Values values) {
  std::vector<std::vector<double>> magnitudes;
  for (uint32_t r = 0; r < c.matrix.rows; ++r) magnitudes.push_back(matrix_row_magnitude(c.matrix, r));
  const auto tolerance = [&](uint32_t element) -> Tolerance {
    const uint32_t n = column_of_element(element, c.dst_width, c.column_tile);
    const uint32_t row = row_of_element(element, c.dst_width, c.column_tile) - c.row_offset;
    const bool in_rows = row < c.matrix.rows;
    if (c.columns[n].sequence == PADDING_COLUMN) return {0, in_rows};
    if (values == Values::exact || !in_rows) return {};
    double sum = c.bias.empty() ? 0 : std::abs(static_cast<double>(c.bias[row + c.row_offset]));
    if (!c.residual.empty()) sum += std::abs(static_cast<double>(c.residual[element]));
    for (uint32_t k = 0; k < c.matrix.width; ++k)
      sum += magnitudes[row][k] * std::abs(static_cast<double>(c.src[activation_index(k, n, c.matrix.width, c.column_tile)]));
    return {1e-6 * sum, false};
  };
  compare_devices(c.column_tile == 1 ? KernelId::matmul_few : KernelId::matmul_many, [&](TestDevice& device) { return run_matmul(device, c); }, tolerance);
}

const std::vector<WeightType> kTypeLists[] = {
    {WeightType::f32}, {WeightType::f16}, {WeightType::q4_1}, {WeightType::q8_0}, {WeightType::q4_1, WeightType::q8_0, WeightType::f16}};
constexpr uint32_t kRows[] = {1, 7, 33, 160, 333};
constexpr uint32_t kWidths[] = {1, 7, 33, 160, 333};
constexpr uint32_t kBlockWidths[] = {32, 64, 96, 160, 352};
constexpr uint32_t kColumnCounts[] = {1, 2, 3, 5, 8, 17};

std::vector<VariantSet> variant_sets() {
  const VariantSet& chosen = test_devices().chosen;
  VariantSet shared_rows = chosen;
  shared_rows.lanes = 16;
  shared_rows.few_k_parts = 4;
  shared_rows.few_tiles_per_lane = 1;
  shared_rows.many_k_parts = 1;
  shared_rows.many_tiles_per_lane = 1;
  shared_rows.many_column_tile = 8;
  shared_rows.attend_prefill_workgroup = 8;
  VariantSet tall = chosen;
  tall.lanes = 8;
  tall.few_tiles_per_lane = 3;
  tall.few_k_parts = 1;
  tall.few_max_columns = 2;
  return {chosen, shared_rows, tall};
}

TEST_CASE("matmul: types, parts, odd sizes, bias, residual, column counts, both families, three variant sets") {
  const auto variants = variant_sets();
  const std::vector<uint32_t> sizes = {static_cast<uint32_t>(variants.size()),
                                       2,
                                       static_cast<uint32_t>(std::size(kTypeLists)),
                                       static_cast<uint32_t>(std::size(kRows)),
                                       static_cast<uint32_t>(std::size(kWidths)),
                                       static_cast<uint32_t>(std::size(kColumnCounts)),
                                       4,
                                       2,
                                       static_cast<uint32_t>(std::size(kAllValues))};
  for_each_case(Coverage::pairs, sizes, [&](const Choice& choice) {
    const VariantScope scope(variants[choice[0]]);
    const auto& types = kTypeLists[choice[2]];
    MatmulCase c;
    c.column_tile = choice[1] == 0 ? 1 : variants[choice[0]].many_column_tile;
    const Values values = kAllValues[choice[8]];
    const uint32_t rows = std::max(kRows[choice[3]], static_cast<uint32_t>(types.size()));
    const bool blocks = types.size() > 1 || block_elements(types[0]) > 1;
    const uint32_t width = blocks ? kBlockWidths[choice[4]] : kWidths[choice[4]];
    const uint64_t seed = 0x3a73 + choice[2] * 1000 + choice[3] * 100 + choice[4] * 10 + choice[5];
    Random random(seed);
    c.matrix = make_matrix(random, values, types, rows, width);
    c.columns = plain_columns(kColumnCounts[choice[5]], c.column_tile);
    c.row_offset = choice[7] == 0 ? 0 : 5;
    c.dst_width = choice[7] == 0 ? rows : rows + 9;
    c.src = make_activation(random, values, width, c.columns, c.column_tile);
    if (choice[6] & 1) {
      c.bias.assign(c.dst_width, kPoisonFloat);
      for (uint32_t r = 0; r < rows; ++r) c.bias[c.row_offset + r] = random_value(random, values);
    }
    if (choice[6] & 2) c.residual = make_activation(random, values, c.dst_width, c.columns, c.column_tile);
    CAPTURE(seed);
    CAPTURE(choice[0]);
    CAPTURE(c.column_tile);
    CAPTURE(weight_type_name(types[0]));
    CAPTURE(types.size());
    CAPTURE(rows);
    CAPTURE(width);
    CAPTURE(kColumnCounts[choice[5]]);
    CAPTURE(choice[6]);
    CAPTURE(c.row_offset);
    CAPTURE(values_name(values));
    compare_matmul(c, values);
  });
}

TEST_CASE("matmul: a vocabulary of 49152 rows") {
  MatmulCase c;
  Random random(49152);
  c.matrix = make_matrix(random, Values::exact, {WeightType::q4_1}, 49152, 32);
  c.columns = plain_columns(2, 1);
  c.dst_width = c.matrix.rows;
  c.src = make_activation(random, Values::exact, 32, c.columns, 1);
  compare_matmul(c, Values::exact);
}

}  // namespace
}  // namespace quire::conformance
