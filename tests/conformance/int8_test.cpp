// quantize_columns against the reference, byte for byte, and matmul_int8 on its codes.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <functional>
#include <iterator>
#include <limits>
#include <span>
#include <string>

#include "tests/conformance/support/column_runs.hpp"

namespace quire::conformance {
namespace {

template <class T>
constexpr uint32_t count_of(const T& array) {
  return static_cast<uint32_t>(std::size(array));
}

constexpr uint32_t kColumnCounts[] = {1, 2, 15, 16, 17, 40};

void compare_quantized(const QuantizeCase& c) {
  count_case(KernelId::quantize_columns);
  const Outcome expected = run_quantize(test_devices().reference, c), actual = run_quantize(test_devices().vulkan, c);
  REQUIRE_MESSAGE(expected.failure.empty(), "reference: ", expected.failure);
  REQUIRE_MESSAGE(actual.failure.empty(), "vulkan: ", actual.failure);
  const std::string difference = differing_bytes(bytes_of(expected.values), bytes_of(actual.values));
  CHECK_MESSAGE(difference.empty(), difference);
}

TEST_CASE("quantize_columns: widths, column counts, tiles and magnitudes give the reference's bytes, in columns of poison too") {
  constexpr uint32_t kWidths[] = {32, 64, 160, 576, 1280};
  constexpr uint32_t kTiles[] = {4, 8, 16};
  const std::vector<uint32_t> sizes = {count_of(kWidths), count_of(kColumnCounts), count_of(kTiles), count_of(kAllValues)};
  for_each_case(Coverage::product, sizes, [&](const Choice& choice) {
    QuantizeCase c{.width = kWidths[choice[0]], .column_tile = kTiles[choice[2]], .columns = {}, .src = {}};
    c.columns = plain_columns(kColumnCounts[choice[1]], c.column_tile);
    Random random(0x9a7 + choice[0] * 100 + choice[1]);
    c.src = make_activation(random, kAllValues[choice[3]], c.width, c.columns, c.column_tile);
    CAPTURE(c.width);
    CAPTURE(c.columns.size());
    CAPTURE(c.column_tile);
    CAPTURE(values_name(kAllValues[choice[3]]));
    compare_quantized(c);
  });
}

/// Fills one block of one column.
using BlockFill = std::function<void(Random& random, std::span<float> block)>;

void fill_with(std::span<float> block, float value) { std::fill(block.begin(), block.end(), value); }
void fill_near(Random& random, std::span<float> block, float largest) {
  for (float& value : block) value = largest * random.uniform(-1, 1);
  block[random.below(static_cast<uint32_t>(block.size()))] = -largest;
}

const std::vector<BlockFill>& block_fills() {
  static const std::vector<BlockFill> fills = {
      [](Random&, std::span<float> block) { fill_with(block, 0.0f); },
      [](Random&, std::span<float> block) { fill_with(block, -0.0f); },
      [](Random&, std::span<float> block) { fill_with(block, 1e-40f); },
      [](Random&, std::span<float> block) { fill_with(block, std::nextafter(0x1p-95f, 0.0f)); },
      [](Random&, std::span<float> block) { fill_with(block, -0x1p-95f); },
      [](Random& random, std::span<float> block) { fill_near(random, block, 0x1.8p-94f); },
      [](Random& random, std::span<float> block) { fill_near(random, block, std::numeric_limits<float>::max()); },
      [](Random& random, std::span<float> block) { fill_near(random, block, std::ldexp(random.uniform(1, 2), static_cast<int>(random.below(220)) - 94)); },
      [](Random& random, std::span<float> block) { fill_near(random, block, 1), block[random.below(32)] = std::numeric_limits<float>::infinity(); },
      [](Random& random, std::span<float> block) { fill_near(random, block, 1), block[random.below(32)] = -kPoisonFloat; },
      // Ties: the scale is 2^k exactly, and the elements lie in the middle of two codes.
      [](Random& random, std::span<float> block) {
        const float scale = std::ldexp(1.0f, static_cast<int>(random.below(40)) - 20);
        for (float& value : block) value = scale * (static_cast<float>(random.below(253)) - 126.5f);
        block[5] = 127 * scale;
      },
      // Next to a tie on either side.
      [](Random& random, std::span<float> block) {
        for (float& value : block) value = std::nextafter(static_cast<float>(random.below(253)) - 126.5f, random.below(2) == 0 ? -200.0f : 200.0f);
        block[31] = -127;
      },
      // The largest magnitude is a whole number of steps of the scale, and the next float above that.
      [](Random& random, std::span<float> block) {
        const float largest = 127 * static_cast<float>(2065 + random.below(2064));
        fill_near(random, block, random.below(2) == 0 ? largest : std::nextafter(largest, 1e9f));
      },
  };
  return fills;
}

TEST_CASE("quantize_columns: zeros, numbers that are none, the smallest and the largest, ties and their neighbours give the reference's bytes") {
  constexpr uint32_t kColumns = 48;
  const uint32_t blocks = count_of(block_fills());
  QuantizeCase c{.width = QUANTIZED_BLOCK * blocks, .column_tile = 16, .columns = plain_columns(kColumns, 16), .src = {}};
  c.src.resize(uint64_t{c.width} * kColumns);
  Random random(0x71e5);
  for (uint32_t n = 0; n < kColumns; ++n)
    for (uint32_t b = 0; b < blocks; ++b) {
      std::vector<float> block(QUANTIZED_BLOCK);
      block_fills()[b](random, block);
      for (uint32_t i = 0; i < QUANTIZED_BLOCK; ++i) c.src[activation_index(QUANTIZED_BLOCK * b + i, n, c.width, c.column_tile)] = block[i];
    }
  compare_quantized(c);
}

TEST_CASE("quantize_columns: codes times their scale are within half a scale of the elements, and the scale is the largest / 127 but for 2^-11") {
  QuantizeCase c{.width = 320, .column_tile = 16, .columns = plain_columns(16, 16), .src = {}};
  Random random(0xc0de);
  c.src = make_activation(random, Values::ordinary, c.width, c.columns, c.column_tile);
  const Outcome outcome = run_quantize(test_devices().vulkan, c);
  REQUIRE_MESSAGE(outcome.failure.empty(), outcome.failure);
  for (uint32_t n = 0; n < 16; ++n)
    for (uint32_t b = 0; b < c.width / QUANTIZED_BLOCK; ++b) {
      const double scale = outcome.values[quantized_index(b, QUANTIZED_SCALE_ROW, n, c.width, c.column_tile)];
      double largest = 0;
      double sums[2] = {};
      for (uint32_t i = 0; i < QUANTIZED_BLOCK; ++i) {
        const double x = c.src[activation_index(QUANTIZED_BLOCK * b + i, n, c.width, c.column_tile)];
        const auto word = std::bit_cast<uint32_t>(outcome.values[quantized_index(b, i / 4, n, c.width, c.column_tile)]);
        const auto code = static_cast<int8_t>(word >> 8 * (i % 4));
        CHECK(std::abs(scale * code - x) <= 0.5 * scale);
        largest = std::max(largest, std::abs(x));
        sums[i / 16] += scale * code;
      }
      CHECK(scale >= largest / 127);
      CHECK(scale <= largest / 127 * (1 + 0x1p-11));
      for (uint32_t i = 0; i < 2; ++i) CHECK(static_cast<double>(outcome.values[quantized_index(b, QUANTIZED_SUM_ROW + i, n, c.width, c.column_tile)]) == sums[i]);
    }
}

/// Parts of types without scales read the floats.
const std::vector<std::vector<WeightType>>& type_lists() {
  static const auto lists = weight_type_lists([](const WeightTypeInfo& info) { return info.has_scales(); });
  return lists;
}

constexpr uint32_t kRows[] = {1, 7, 33, 160, 333};

/// Several tiles to an invocation, an odd number of them, that start inside a weight tile, and tiles of eight columns.
std::vector<VariantSet> variant_sets() {
  const VariantSet& chosen = test_devices().chosen;
  VariantSet narrow = chosen;
  narrow.lanes = narrow.tile_rows = 16;
  narrow.many_tiles_per_lane = 1;
  narrow.many_column_tile = narrow.attend_prefill_workgroup = 8;
  VariantSet tall = chosen;
  tall.lanes = 8;
  tall.tile_rows = 32;
  tall.many_tiles_per_lane = 3;
  return {chosen, narrow, tall};
}

// Tolerance: 2e-7 (over three roundings of 2^-24: there is one a run and one for its offset, and they mostly cancel) of the magnitudes of all that is added.
// Where a part reads floats 4e-7, as in the other family.
void compare_int8(const MatmulCase& c) {
  std::vector<std::vector<double>> magnitudes;
  for (uint32_t r = 0; r < c.matrix.rows; ++r) magnitudes.push_back(matrix_row_magnitude(c.matrix, r));
  compare_devices(KernelId::matmul_int8, [&](TestDevice& device) { return run_matmul(device, c); }, [&](uint32_t element) -> Tolerance {
    const uint32_t n = column_of_element(element, c.dst_width, c.column_tile);
    const uint32_t row = row_of_element(element, c.dst_width, c.column_tile) - c.row_offset;
    if (c.columns[n].sequence == PADDING_COLUMN) return {0, row < c.matrix.rows};
    if (row >= c.matrix.rows) return {};
    double sum = c.bias.empty() ? 0 : std::abs(static_cast<double>(c.bias[row + c.row_offset]));
    if (!c.residual.empty()) sum += std::abs(static_cast<double>(c.residual[element]));
    for (uint32_t k = 0; k < c.matrix.width; ++k)
      sum += magnitudes[row][k] * std::abs(static_cast<double>(c.src[activation_index(k, n, c.matrix.width, c.column_tile)]));
    return {(c.matrix.parts.size() == 1 ? 2e-7 : 4e-7) * sum, false};
  });
}

TEST_CASE("matmul_int8: types, parts, rows, widths, column counts, bias, residual, magnitudes and variant sets, beside poisoned columns") {
  if (!has_integer_dot_product("matmul_int8")) return;
  const auto variants = variant_sets();
  const std::vector<uint32_t> sizes = {count_of(type_lists()), count_of(variants), count_of(kRows), kBlockWidthCount, count_of(kColumnCounts), 4, 2,
                                       count_of(kAllValues)};
  for_each_case(Coverage::pairs, sizes, [&](const Choice& choice) {
    const VariantScope scope(variants[choice[1]]);
    const auto& types = type_lists()[choice[0]];
    const Values values = kAllValues[choice[7]];
    MatmulCase c;
    c.arithmetic = Arithmetic::int8;
    c.column_tile = variants[choice[1]].many_column_tile;
    const uint32_t rows = std::max(kRows[choice[2]], count_of(types));
    const uint32_t width = block_width(types, choice[3]);
    const uint64_t seed = 0x18b7 + choice[0] * 1000 + choice[2] * 100 + choice[3] * 10 + choice[4];
    Random random(seed);
    c.matrix = make_matrix(random, values, types, rows, width);
    c.columns = plain_columns(kColumnCounts[choice[4]], c.column_tile);
    c.row_offset = choice[6] == 0 ? 0 : 5;
    c.dst_width = choice[6] == 0 ? rows : rows + 9;
    c.src = make_activation(random, values, width, c.columns, c.column_tile);
    if ((choice[5] & 1) != 0) {
      c.bias.assign(c.dst_width, kPoisonFloat);
      for (uint32_t r = 0; r < rows; ++r) c.bias[c.row_offset + r] = random_value(random, values);
    }
    if ((choice[5] & 2) != 0) c.residual = make_activation(random, values, c.dst_width, c.columns, c.column_tile);
    CAPTURE(seed);
    CAPTURE(choice[1]);
    CAPTURE(std::string(weight_type_name(types[0])));
    CAPTURE(types.size());
    CAPTURE(rows);
    CAPTURE(width);
    CAPTURE(kColumnCounts[choice[4]]);
    CAPTURE(choice[5]);
    CAPTURE(c.row_offset);
    CAPTURE(values_name(values));
    compare_int8(c);
  }, 4);
}

TEST_CASE("matmul_int8: a column with a NaN or an infinity is NaN in every row, and the others are what they are without it") {
  if (!has_integer_dot_product("matmul_int8: not finite")) return;
  Random random(0xbad);
  MatmulCase c;
  c.arithmetic = Arithmetic::int8;
  c.column_tile = test_devices().chosen.many_column_tile;
  c.matrix = make_matrix(random, Values::ordinary, {WeightType::q4_1}, 33, 96);
  c.columns = plain_columns(c.column_tile, c.column_tile);
  c.dst_width = c.matrix.rows;
  c.src = make_activation(random, Values::ordinary, c.matrix.width, c.columns, c.column_tile);
  const Outcome finite = run_matmul(test_devices().vulkan, c);
  c.src[activation_index(40, 3, c.matrix.width, c.column_tile)] = kPoisonFloat;
  c.src[activation_index(95, 7, c.matrix.width, c.column_tile)] = -std::numeric_limits<float>::infinity();
  const Outcome outcome = run_matmul(test_devices().vulkan, c);
  REQUIRE_MESSAGE(finite.failure.empty(), finite.failure);
  REQUIRE_MESSAGE(outcome.failure.empty(), outcome.failure);
  for (uint32_t i = 0; i < outcome.values.size(); ++i) {
    const uint32_t n = column_of_element(i, c.dst_width, c.column_tile);
    CHECK(std::isnan(outcome.values[i]) == (n == 3 || n == 7));
    if (n != 3 && n != 7) CHECK(outcome.values[i] == finite.values[i]);
  }
}

}  // namespace
}  // namespace quire::conformance
