// Gated products of matmul_many and matmul_few: against the reference, and bit for bit against the same in two dispatches.
#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <iterator>
#include <string>

#include "tests/conformance/support/column_runs.hpp"

namespace quire::conformance {
namespace {

template <class T>
constexpr uint32_t count_of(const T& array) {
  return static_cast<uint32_t>(std::size(array));
}

constexpr uint32_t kPairs[] = {1, 2, 3, 7, 9};
constexpr uint32_t kColumnCounts[] = {1, 2, 5, 8, 17, 3, 4, 6, 7};
constexpr uint32_t kNormalColumnCounts = 5;

/// Tiles in the order of an invocation's, odd numbers of them, parts of a sum, and tiles that many lanes load together.
std::vector<VariantSet> variant_sets() {
  VariantSet chosen = test_devices().chosen;
  chosen.cooperative_shape = {};
  VariantSet parts = chosen;
  parts.lanes = 16;
  parts.tile_rows = 16;
  parts.few_k_parts = 4;
  parts.few_tiles_per_lane = 1;
  parts.many_k_parts = 2;
  parts.many_tiles_per_lane = 3;
  parts.many_column_tile = 8;
  parts.attend_prefill_workgroup = 8;
  VariantSet tall = chosen;
  tall.lanes = 8;
  tall.tile_rows = 32;
  tall.few_tiles_per_lane = 3;
  tall.few_k_parts = 1;
  tall.few_max_columns = 2;
  tall.many_tiles_per_lane = 1;
  VariantSet together = chosen;
  together.lanes_per_load = chosen.lanes;
  VariantSet odd_together = together;
  odd_together.many_tiles_per_lane = 3;
  return {chosen, parts, tall, together, odd_together};
}

KernelId kernel_of(const GatedMatmulCase& c) { return c.column_tile == 1 ? KernelId::matmul_few : KernelId::matmul_many; }

GatedMatmulCase make_case(const std::vector<WeightType>& types, uint32_t gate_rows, uint32_t column_count, uint32_t column_tile, Values values, uint64_t seed) {
  Random random(seed);
  GatedMatmulCase c;
  c.column_tile = column_tile;
  const uint32_t unit = common_block_elements(types);
  c.matrix = make_matrix(random, values, types, 2 * gate_rows, unit == 1 ? 77 : unit == 32 ? 160 : 2 * unit);
  c.columns = plain_columns(column_count, column_tile);
  c.src = make_activation(random, values, c.matrix.width, c.columns, column_tile);
  c.bias = random_values(random, values, c.matrix.rows);
  return c;
}

struct Product {
  double sum = 0;
  double error = 0;  ///< what its sum may be off by: compare_matmul's tolerance
};

Product product_of(const GatedMatmulCase& c, uint32_t row, uint32_t n, Values values) {
  const std::vector<float> weights = matrix_row(c.matrix, row);
  const std::vector<double> magnitudes = matrix_row_magnitude(c.matrix, row);
  Product product;
  for (uint32_t k = 0; k < c.matrix.width; ++k) {
    const double x = c.src[activation_index(k, n, c.matrix.width, c.column_tile)];
    product.sum += static_cast<double>(weights[k]) * x;
    if (values != Values::exact) product.error += 4e-7 * magnitudes[k] * std::abs(x);
  }
  if (c.bias.empty()) return product;
  product.sum += static_cast<double>(c.bias[row]);
  if (values != Values::exact) product.error += 4e-7 * std::abs(static_cast<double>(c.bias[row]));
  return product;
}

// Tolerance: what the products may be off by, with the functions' steepest slope of 1.13, and what the functions may (gated_activation's cases).
void compare_gated(const GatedMatmulCase& c, Values values, GateSteps steps) {
  const uint32_t width = c.matrix.rows / 2;
  compare_devices(kernel_of(c), [&](TestDevice& device) { return run_gated_matmul(device, c, steps); }, [&](uint32_t element) -> Tolerance {
    const uint32_t n = column_of_element(element, width, c.column_tile);
    const uint32_t i = row_of_element(element, width, c.column_tile);
    if (c.columns[n].sequence == PADDING_COLUMN) return {0, true};
    const Product gate = product_of(c, i, n, values), up = product_of(c, width + i, n, values);
    const bool gelu = c.function == GateFunction::gelu;
    const double slope = gelu ? 1.5957691216057308 * (gate.sum + 0.044715 * gate.sum * gate.sum * gate.sum) : gate.sum;
    const double function = std::abs(gate.sum / (1 + std::exp(-slope)));
    const double most_up = std::abs(up.sum) + up.error;
    return {1.13 * gate.error * most_up + function * up.error + function * most_up * 0x1p-23 * (8 + (gelu ? 6 : 2) * std::abs(slope)) + 1e-30 * most_up, false};
  });
}

TEST_CASE("matmul: gated, every type, one to several pairs of tiles, column counts, silu and gelu, bias, magnitudes, variant sets") {
  const auto variants = variant_sets();
  const auto types = types_of_run();
  const std::vector<uint32_t> sizes = {count_of(variants), 2, count_of(types), count_of(kPairs),
                                       column_counts_of_run(kNormalColumnCounts, count_of(kColumnCounts)), 2, 2, count_of(kAllValues)};
  for_each_case_of_variants(sizes, 2, [&](const Choice& choice) {
    const VariantScope scope(variants[choice[0]]);
    const uint32_t column_tile = choice[1] == 0 ? 1 : test_devices().vulkan.variants().many_column_tile;
    const WeightType type = types[choice[2]];
    const uint64_t seed = 0x6a7e + choice[2] * 100 + choice[3] * 10 + choice[4];
    const Values values = kAllValues[choice[7]];
    const uint32_t gate_rows = kPairs[choice[3]] * test_devices().vulkan.variants().lanes;
    GatedMatmulCase c = make_case({type}, gate_rows, kColumnCounts[choice[4]], column_tile, values, seed);
    c.function = choice[5] == 0 ? GateFunction::silu : GateFunction::gelu;
    if (choice[6] == 0) c.bias.clear();
    CAPTURE(seed);
    CAPTURE(choice[0]);
    CAPTURE(column_tile);
    CAPTURE(weight_type_name(type));
    CAPTURE(kPairs[choice[3]]);
    CAPTURE(kColumnCounts[choice[4]]);
    CAPTURE(choice[5]);
    CAPTURE(choice[6]);
    CAPTURE(values_name(values));
    compare_gated(c, values, GateSteps::one);
  }, 4);
}

TEST_CASE("matmul: gated rows of two types, or no whole tile of them, take two dispatches") {
  for (const uint32_t column_tile : {uint32_t{1}, test_devices().chosen.many_column_tile}) {
    CAPTURE(column_tile);
    compare_gated(make_case({WeightType::q4_1, WeightType::q8_0}, 64, 3, column_tile, Values::ordinary, 0x6a01), Values::ordinary, GateSteps::either);
    compare_gated(make_case({WeightType::f16}, 37, 3, column_tile, Values::ordinary, 0x6a02), Values::ordinary, GateSteps::either);
  }
}

TEST_CASE("bits: a gated product in one dispatch is the product and gated_activation in two") {
  constexpr WeightType kTypes[] = {WeightType::f32, WeightType::q4_1, WeightType::q6_k};
  for (const VariantSet& variants : variant_sets())
    for (const WeightType type : types_of_run(kTypes))
      for (const uint32_t column_tile : {1u, variants.many_column_tile})
        for (const GateFunction function : {GateFunction::silu, GateFunction::gelu}) {
          const VariantScope scope(variants);
          GatedMatmulCase c = make_case({type}, 3 * variants.lanes, function == GateFunction::silu ? 1 : 5, column_tile, Values::ordinary, 0xb17);
          c.function = function;
          for (float& x : c.src) x *= 0.05f;  // where the functions bend
          CAPTURE(std::string(weight_type_name(type)));
          CAPTURE(variants.describe());
          CAPTURE(column_tile);
          const Outcome one = run_gated_matmul(test_devices().vulkan, c, GateSteps::one), two = run_gated_matmul(test_devices().vulkan, c, GateSteps::two);
          REQUIRE_MESSAGE(one.failure.empty(), one.failure);
          REQUIRE_MESSAGE(two.failure.empty(), two.failure);
          uint32_t different = 0;
          for (uint32_t i = 0; i < one.values.size(); ++i)
            if (c.columns[column_of_element(i, c.matrix.rows / 2, column_tile)].sequence != PADDING_COLUMN)
              different += std::bit_cast<uint32_t>(one.values[i]) != std::bit_cast<uint32_t>(two.values[i]) ? 1u : 0u;
          CHECK(different == 0);
        }
}

}  // namespace
}  // namespace quire::conformance
