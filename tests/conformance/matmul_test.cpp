// matmul_many, matmul_cooperative and matmul_few against the reference.
#include <cmath>
#include <doctest/doctest.h>
#include <iterator>
#include <span>

#include "engine/base/half.hpp"
#include "tests/conformance/support/column_runs.hpp"

namespace quire::conformance {
namespace {

/// The kernel that record_matmul chooses for a case.
KernelId kernel_of(const MatmulCase& c) {
  if (c.column_tile == 1) return KernelId::matmul_few;
  return test_devices().vulkan.variants().cooperative_shape.rows != 0 ? KernelId::matmul_cooperative : KernelId::matmul_many;
}

bool is_half(float value) { return half_to_float(float_to_half(value)) == value; }

/// What a row of a matrix and a column lose when a kernel takes their elements as f16.
struct HalfLoss {
  bool exact = true;  ///< every element of the row is an f16
  std::vector<double> row;

  explicit HalfLoss(const std::vector<float>& values) {
    for (const float value : values) {
      exact = exact && is_half(value);
      row.push_back(std::abs(static_cast<double>(value)));
    }
  }
  /// Of a product: half a unit in the eleventh bit of each factor, or of the smallest f16 number.
  double of(size_t k, double x) const { return (row[k] * x) * 0x1p-10 * 1.001 + (row[k] + x) * 0x1p-25; }
};

// Tolerance: 4e-7 (under seven roundings of 2^-24: they mostly cancel) of the sum of the magnitudes of everything added, and what a kernel on f16
// matrices loses; none at all for Values::exact, where no sum rounds, except in rows that are no f16 numbers there.
void compare_matmul(const MatmulCase& c, Values values) {
  const bool halves = kernel_of(c) == KernelId::matmul_cooperative;
  std::vector<std::vector<double>> magnitudes;
  std::vector<HalfLoss> losses;
  for (uint32_t r = 0; r < c.matrix.rows; ++r) {
    magnitudes.push_back(matrix_row_magnitude(c.matrix, r));
    if (halves) losses.emplace_back(matrix_row(c.matrix, r));
  }
  const auto tolerance = [&](uint32_t element) -> Tolerance {
    const uint32_t n = column_of_element(element, c.dst_width, c.column_tile);
    const uint32_t row = row_of_element(element, c.dst_width, c.column_tile) - c.row_offset;
    const bool in_rows = row < c.matrix.rows;
    if (c.columns[n].sequence == PADDING_COLUMN) return {0, in_rows};
    if (!in_rows || (values == Values::exact && (!halves || losses[row].exact))) return {};
    double sum = c.bias.empty() ? 0 : std::abs(static_cast<double>(c.bias[row + c.row_offset]));
    if (!c.residual.empty()) sum += std::abs(static_cast<double>(c.residual[element]));
    double lost = 0;
    for (uint32_t k = 0; k < c.matrix.width; ++k) {
      const double x = std::abs(static_cast<double>(c.src[activation_index(k, n, c.matrix.width, c.column_tile)]));
      sum += magnitudes[row][k] * x;
      if (halves) lost += losses[row].of(k, x);
    }
    return {4e-7 * sum + lost, false};
  };
  compare_devices(kernel_of(c), [&](TestDevice& device) { return run_matmul(device, c); }, tolerance);
}

const std::vector<std::vector<WeightType>>& type_lists() {
  static const auto lists = weight_type_lists([](const WeightTypeInfo&) { return true; });
  return lists;
}

constexpr uint32_t kRows[] = {1, 7, 33, 160, 333};
constexpr uint32_t kWidths[] = {1, 7, 33, 160, 333};

uint32_t width_of(const std::vector<WeightType>& types, uint32_t index) {
  return common_block_elements(types) == 1 ? kWidths[index] : block_width(types, index);
}

constexpr uint32_t kColumnCounts[] = {1, 2, 5, 8, 17, 3};
constexpr uint32_t kNormalColumnCounts = 5;
/// A workgroup of matmul_cooperative owns 64 columns.
constexpr uint32_t kManyColumnCounts[] = {1, 16, 33, 64, 65, 150};

std::vector<VariantSet> variant_sets() {
  const VariantSet& chosen = test_devices().chosen;
  VariantSet shared_rows = chosen;
  shared_rows.lanes = 16;
  shared_rows.tile_rows = 16;
  shared_rows.few_k_parts = 4;
  shared_rows.few_tiles_per_lane = 1;
  shared_rows.many_k_parts = 1;
  shared_rows.many_tiles_per_lane = 1;
  shared_rows.many_column_tile = 8;
  shared_rows.attend_prefill_workgroup = 8;
  VariantSet tall = chosen;
  tall.lanes = 8;
  tall.tile_rows = 32;  // a workgroup of three times eight rows starts inside a tile
  tall.few_tiles_per_lane = 3;
  tall.few_k_parts = 1;
  tall.few_max_columns = 2;
  tall.many_tiles_per_lane = 3;
  VariantSet together = chosen;
  together.lanes_per_load = chosen.lanes;
  VariantSet odd_together = together;
  odd_together.many_tiles_per_lane = 3;
  return {chosen, shared_rows, tall, together, odd_together};
}

/// Everything that tells one matmul case from another; indices into the lists above.
struct MatmulChoice {
  uint32_t family = 0;  ///< 0: tiles of one column, 1: of many
  uint32_t types = 0;
  uint32_t rows = 0;
  uint32_t width = 0;
  uint32_t columns = 0;
  uint32_t addends = 0;  ///< bit 0: bias, bit 1: residual
  uint32_t offset = 0;   ///< 1: dst is wider than the matrix has rows
  Values values = Values::exact;
};

void compare_choice(const MatmulChoice& choice, std::span<const uint32_t> column_counts = kColumnCounts) {
  const auto& types = type_lists()[choice.types];
  MatmulCase c;
  c.column_tile = choice.family == 0 ? 1 : test_devices().vulkan.variants().many_column_tile;
  const uint32_t rows = std::max(kRows[choice.rows], static_cast<uint32_t>(types.size()));
  const uint32_t width = width_of(types, choice.width);
  const uint64_t seed = 0x3a73 + choice.types * 1000 + choice.rows * 100 + choice.width * 10 + choice.columns;
  Random random(seed);
  c.matrix = make_matrix(random, choice.values, types, rows, width);
  c.columns = plain_columns(column_counts[choice.columns], c.column_tile);
  c.row_offset = choice.offset == 0 ? 0 : 5;
  c.dst_width = choice.offset == 0 ? rows : rows + 9;
  c.src = make_activation(random, choice.values, width, c.columns, c.column_tile);
  if ((choice.addends & 1) != 0) {
    c.bias.assign(c.dst_width, kPoisonFloat);
    for (uint32_t r = 0; r < rows; ++r) c.bias[c.row_offset + r] = random_value(random, choice.values);
  }
  if ((choice.addends & 2) != 0) c.residual = make_activation(random, choice.values, c.dst_width, c.columns, c.column_tile);
  CAPTURE(seed);
  CAPTURE(c.column_tile);
  CAPTURE(weight_type_name(types[0]));
  CAPTURE(types.size());
  CAPTURE(rows);
  CAPTURE(width);
  CAPTURE(column_counts[choice.columns]);
  CAPTURE(choice.addends);
  CAPTURE(c.row_offset);
  CAPTURE(values_name(choice.values));
  compare_matmul(c, choice.values);
}

template <class T>
constexpr uint32_t count_of(const T& array) {
  return static_cast<uint32_t>(std::size(array));
}

TEST_CASE("matmul: every type, size of rows and of columns, in both families, with exact sums") {
  const std::vector<uint32_t> sizes = {2, count_of(type_lists()), count_of(kRows), count_of(kWidths),
                                       column_counts_of_run(kNormalColumnCounts, count_of(kColumnCounts))};
  for_each_case(Coverage::product, sizes, [](const Choice& choice) {
    const uint32_t turn = choice[2] + choice[3] + choice[4];
    compare_choice({choice[0], choice[1], choice[2], choice[3], choice[4], turn % 4, turn % 2, Values::exact});
  });
}

TEST_CASE("matmul: types, parts, odd sizes, bias, residual, column counts, magnitudes, in both families and five variant sets") {
  const auto variants = variant_sets();
  const std::vector<uint32_t> sizes = {count_of(variants), 2, count_of(type_lists()), count_of(kRows), count_of(kWidths),
                                       column_counts_of_run(kNormalColumnCounts, count_of(kColumnCounts)), 4, 2, count_of(kAllValues)};
  for_each_case_of_variants(sizes, 2, [&](const Choice& choice) {
    const VariantScope scope(variants[choice[0]]);
    CAPTURE(choice[0]);
    compare_choice({choice[1], choice[2], choice[3], choice[4], choice[5], choice[6], choice[7], kAllValues[choice[8]]});
  }, 6);
}

TEST_CASE("matmul: cooperative matrices, every type, rows, widths, column counts, bias, residual, magnitudes") {
  const std::optional<VariantSet> cooperative = cooperative_variants("matmul: cooperative matrices");
  if (!cooperative) return;
  const VariantScope scope(*cooperative);
  const std::vector<uint32_t> sizes = {count_of(type_lists()), count_of(kRows), count_of(kWidths), count_of(kManyColumnCounts), 4, 2, count_of(kAllValues)};
  for_each_case(Coverage::pairs, sizes, [&](const Choice& choice) {
    compare_choice({1, choice[0], choice[1], choice[2], choice[3], choice[4], choice[5], kAllValues[choice[6]]}, kManyColumnCounts);
  }, 6);
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
