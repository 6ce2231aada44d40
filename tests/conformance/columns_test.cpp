// embed_rows, rms_norm, head_norm, gated_activation, gather_columns against the reference.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <iterator>

#include "engine/device/reference/weight_blocks.hpp"
#include "tests/conformance/support/attention_case.hpp"
#include "tests/conformance/support/column_runs.hpp"

namespace quire::conformance {
namespace {

constexpr uint32_t kWidths[] = {1, 7, 33, 160, 333, 576};
constexpr uint32_t kBlockWidths[] = {32, 96, 160, 576};
constexpr uint32_t kLargeBlockWidths[] = {256, 512, 768, 1280};
constexpr uint32_t kColumnCounts[] = {1, 2, 3, 5, 8, 17};

template <class T>
constexpr uint32_t count_of(const T& array) {
  return static_cast<uint32_t>(std::size(array));
}

/// The two families: tiles of one column, and tiles of many.
uint32_t family_tile(uint32_t family) { return family == 0 ? 1 : test_devices().chosen.many_column_tile; }

ToleranceOf except_padding(const std::vector<ColumnInfo>& columns, uint32_t width, uint32_t column_tile, std::function<double(uint32_t)> absolute) {
  return [=](uint32_t element) -> Tolerance {
    if (columns[column_of_element(element, width, column_tile)].sequence == PADDING_COLUMN) return {0, true};
    return {absolute(element), false};
  };
}

// The blocks' values are exact in a float, and so is their product with a power of two; another scale rounds once or twice. With minimums, weights of any
// size round: in the reference once, in a kernel its offset and the weight.
TEST_CASE("embed_rows: every weight type, in one piece and several, gives the reference's rows") {
  std::vector<std::vector<WeightType>> lists = {{WeightType::q8_0, WeightType::f16, WeightType::q4_1}, {WeightType::q4_1, WeightType::q4_1},
                                                {WeightType::q6_k, WeightType::bf16, WeightType::q5_0, WeightType::q3_k}};
  for (const WeightTypeInfo& info : weight_types()) lists.push_back({info.type});
  lists = types_of_run(lists);
  constexpr uint32_t kVocabularies[] = {4, 64, 333};
  constexpr float kScales[] = {1, 0.5f, 25.298221f};
  for_each_case(Coverage::pairs, std::vector<uint32_t>{count_of(lists), count_of(kBlockWidths), count_of(kColumnCounts), 2, count_of(kVocabularies),
                                                       count_of(kScales), count_of(kAllValues)},
                [&](const Choice& choice) {
                  const auto& types = lists[choice[0]];
                  const uint32_t unit = common_block_elements(types);
                  const uint32_t width = unit == 1 ? kWidths[choice[1]] : unit == 32 ? kBlockWidths[choice[1]] : kLargeBlockWidths[choice[1]];
                  EmbedCase c;
                  Random random(0xe3bed + choice[1]);
                  c.table = make_matrix(random, kAllValues[choice[6]], types, kVocabularies[choice[4]], width);
                  c.column_tile = family_tile(choice[3]);
                  c.columns = plain_columns(kColumnCounts[choice[2]], c.column_tile);
                  for (uint32_t n = 0; n < c.columns.size(); ++n) {
                    if (c.columns[n].sequence == PADDING_COLUMN) continue;
                    c.columns[n].token = n == 0 ? c.table.rows - 1 : random.below(c.table.rows);
                  }
                  c.scale = kScales[choice[5]];
                  CAPTURE(weight_type_name(types[0]));
                  CAPTURE(types.size());
                  CAPTURE(width);
                  CAPTURE(c.columns.size());
                  CAPTURE(c.scale);
                  const bool minimums = std::any_of(types.begin(), types.end(), [](WeightType type) { return reference::block_format(type).minimum_offset.has_value(); });
                  const bool exact = choice[5] < 2 && (kAllValues[choice[6]] == Values::exact || !minimums);
                  compare_devices(KernelId::embed_rows, [&](TestDevice& device) { return run_embed(device, c); }, [&](uint32_t element) -> Tolerance {
                    const ColumnInfo& column = c.columns[column_of_element(element, width, c.column_tile)];
                    if (exact || column.sequence == PADDING_COLUMN) return {};
                    const auto magnitude = matrix_row_magnitude(c.table, column.token);
                    return {2.4e-7 * static_cast<double>(c.scale) * magnitude[row_of_element(element, width, c.column_tile)], false};
                  });
                });
}

// Tolerance: a mean of squares, a root and two products, each within a few units in the last place: 2e-6 of the result; adding the residual rounds
// once more.
TEST_CASE("rms_norm: all widths and column counts, with a residual and without, next to poisoned padding") {
  const std::vector<uint32_t> sizes = {count_of(kWidths), count_of(kColumnCounts), 2, count_of(kAllValues) + 1, 2};
  for_each_case(Coverage::pairs, sizes, [&](const Choice& choice) {
    NormCase c;
    c.width = kWidths[choice[0]];
    c.column_tile = family_tile(choice[2]);
    c.columns = plain_columns(kColumnCounts[choice[1]], c.column_tile);
    Random random(0x4095 + choice[0] * 100 + choice[1]);
    const bool zeros = choice[3] == count_of(kAllValues);
    c.src = make_activation(random, zeros ? Values::exact : kAllValues[choice[3]], c.width, c.columns, c.column_tile);
    if (zeros)
      for (float& value : c.src) value = std::isnan(value) ? value : 0.0f;
    c.weight = random_values(random, Values::ordinary, c.width);
    if (choice[4] != 0) c.residual = make_activation(random, Values::ordinary, c.width, c.columns, c.column_tile);
    CAPTURE(c.width);
    CAPTURE(c.columns.size());
    CAPTURE(c.column_tile);
    CAPTURE(choice[3]);
    CAPTURE(choice[4]);
    Outcome expected = run_norm(test_devices().reference, c);
    compare_devices(KernelId::rms_norm, [&](TestDevice& device) { return run_norm(device, c); },
                    except_padding(c.columns, c.width, c.column_tile, [&](uint32_t element) {
                      const double residual = c.residual.empty() ? 0 : std::abs(static_cast<double>(c.residual[element]));
                      return 2e-6 * (std::abs(static_cast<double>(expected.values[element])) + 2 * residual);
                    }));
  });
}

// Tolerance: as rms_norm's. The rows of V, poison here, must keep their bits.
TEST_CASE("head_norm: every head of Q and K by itself with its own weight, and the rows of V untouched") {
  constexpr HeadCounts kCounts[] = {{4, 4}, {9, 3}, {14, 2}, {5, 1}};
  constexpr HeadDims kDims[] = {{32, 32}, {40, 40}, {128, 128}, {256, 256}, {96, 64}, {8, 80}};
  const std::vector<uint32_t> sizes = {count_of(kCounts), count_of(kDims), count_of(kColumnCounts), 2, count_of(kAllValues)};
  for_each_case(Coverage::pairs, sizes, [&](const Choice& choice) {
    HeadNormCase c;
    c.shape = {.page = {.layers = 1, .kv_heads = kCounts[choice[0]].kv, .k_dim = kDims[choice[1]].k, .v_dim = kDims[choice[1]].v, .tokens = 16},
               .layer = 0, .q_heads = kCounts[choice[0]].q};
    c.column_tile = family_tile(choice[3]);
    c.columns = plain_columns(kColumnCounts[choice[2]], c.column_tile);
    Random random(0x4ead + choice[0] * 100 + choice[1]);
    c.qkv = make_activation(random, kAllValues[choice[4]], c.width(), c.columns, c.column_tile);
    const uint32_t normed_rows = (c.shape.q_heads + c.shape.page.kv_heads) * c.shape.page.k_dim;
    for (uint32_t i = 0; i < c.qkv.size(); ++i)
      if (row_of_element(i, c.width(), c.column_tile) >= normed_rows) c.qkv[i] = kPoisonFloat;
    c.query_weight = random_values(random, Values::ordinary, c.shape.page.k_dim);
    c.key_weight = random_values(random, Values::ordinary, c.shape.page.k_dim);
    CAPTURE(c.shape.q_heads);
    CAPTURE(c.shape.page.kv_heads);
    CAPTURE(c.shape.page.k_dim);
    CAPTURE(c.columns.size());
    CAPTURE(c.column_tile);
    Outcome expected = run_head_norm(test_devices().reference, c);
    compare_devices(KernelId::head_norm, [&](TestDevice& device) { return run_head_norm(device, c); }, [&](uint32_t element) -> Tolerance {
      if (c.columns[column_of_element(element, c.width(), c.column_tile)].sequence == PADDING_COLUMN) return {0, true};
      return {2e-6 * std::abs(static_cast<double>(expected.values[element])), false};
    });
  });
}

// Tolerance: Vulkan allows exp(t) 3 + 2 |t| units in the last place (2^-23 each), and a division 2.5; gelu's t is itself off by three. Results below
// 1e-30 of `up` may be flushed.
TEST_CASE("gated_activation: silu and gelu, all widths and column counts, also where exp overflows") {
  constexpr float kRanges[] = {1, 8, 100, 1e4f};
  const std::vector<uint32_t> sizes = {count_of(kWidths), count_of(kColumnCounts), 2, count_of(kRanges), 2};
  for_each_case(Coverage::pairs, sizes, [&](const Choice& choice) {
    GatedCase c;
    c.width = kWidths[choice[0]];
    c.column_tile = family_tile(choice[2]);
    c.columns = plain_columns(kColumnCounts[choice[1]], c.column_tile);
    c.function = choice[4] != 0 ? GateFunction::gelu : GateFunction::silu;
    Random random(0x5719 + choice[0] * 100 + choice[1]);
    c.gate_up = make_activation(random, Values::ordinary, 2 * c.width, c.columns, c.column_tile);
    for (float& value : c.gate_up) value *= std::isnan(value) ? 1 : kRanges[choice[3]];
    for (float& value : c.gate_up)
      if (std::isnan(value)) value = kPoisonFloat;
    CAPTURE(c.width);
    CAPTURE(c.columns.size());
    CAPTURE(kRanges[choice[3]]);
    CAPTURE(choice[4]);
    compare_devices(KernelId::gated_activation, [&](TestDevice& device) { return run_gated(device, c); },
                    except_padding(c.columns, c.width, c.column_tile, [&](uint32_t element) {
                      const uint32_t n = column_of_element(element, c.width, c.column_tile);
                      const uint32_t i = row_of_element(element, c.width, c.column_tile);
                      const double gate = c.gate_up[activation_index(i, n, 2 * c.width, c.column_tile)];
                      const double up = c.gate_up[activation_index(c.width + i, n, 2 * c.width, c.column_tile)];
                      const double slope = c.function == GateFunction::gelu ? 1.5957691216057308 * (gate + 0.044715 * gate * gate * gate) : gate;
                      const double result = std::abs(gate / (1 + std::exp(-slope)) * up);
                      return result * 0x1p-23 * (8 + (c.function == GateFunction::gelu ? 6 : 2) * std::abs(slope)) + 1e-30 * std::abs(up);
                    }));
  });
}

TEST_CASE("gather_columns: copies exactly the selected columns, in any order and more than once, to columns of their own or to tiles") {
  for_each_case(Coverage::pairs, std::vector<uint32_t>{count_of(kWidths), count_of(kColumnCounts), count_of(kColumnCounts), 2, 2}, [&](const Choice& choice) {
    GatherCase c;
    c.width = kWidths[choice[0]];
    c.column_tile = family_tile(choice[3]);
    const auto columns = plain_columns(kColumnCounts[choice[1]], c.column_tile);
    c.src_columns = static_cast<uint32_t>(columns.size());
    Random random(0x6a74 + choice[0]);
    c.src = make_activation(random, Values::ordinary, c.width, columns, c.column_tile);
    for (uint32_t i = 0; i < kColumnCounts[choice[2]]; ++i)
      c.selection.push_back(i == 0 ? kColumnCounts[choice[1]] - 1 : random.below(kColumnCounts[choice[1]]));
    c.dst_column_tile = family_tile(choice[4]);
    while (c.selection.size() % c.dst_column_tile != 0) c.selection.push_back(0);
    CAPTURE(c.width);
    CAPTURE(c.src_columns);
    CAPTURE(c.selection.size());
    CAPTURE(c.dst_column_tile);
    compare_devices(KernelId::gather_columns, [&](TestDevice& device) { return run_gather(device, c); }, exactly);
  });
}

}  // namespace
}  // namespace quire::conformance
