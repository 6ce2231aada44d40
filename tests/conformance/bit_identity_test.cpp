// A column's result on Vulkan is the same, bit for bit, whatever is computed beside it: other columns, another place in a tile, other chunks, another
// arrangement of pages.
#include <cmath>
#include <doctest/doctest.h>
#include <functional>
#include <string>

#include "tests/conformance/support/attention_case.hpp"
#include "tests/conformance/support/attention_runs.hpp"
#include "tests/conformance/support/column_runs.hpp"

namespace quire::conformance {
namespace {

/// Column `column` of an activation, as bits.
std::vector<uint32_t> column_bits(const std::vector<float>& activation, uint32_t width, uint32_t column, uint32_t column_tile) {
  std::vector<uint32_t> bits(width);
  for (uint32_t k = 0; k < width; ++k) bits[k] = std::bit_cast<uint32_t>(activation[activation_index(k, column, width, column_tile)]);
  return bits;
}

/// The activation whose columns are the given columns of `all` ([width][...] with column_tile 1); padding columns hold poison.
std::vector<float> select_columns(const std::vector<float>& all, uint32_t width, const std::vector<uint32_t>& wanted, uint32_t column_tile) {
  const auto columns = plain_columns(static_cast<uint32_t>(wanted.size()), column_tile);
  std::vector<float> activation(columns.size() * width, kPoisonFloat);
  for (uint32_t n = 0; n < wanted.size(); ++n)
    for (uint32_t k = 0; k < width; ++k)
      activation[activation_index(k, n, width, column_tile)] = all[activation_index(k, wanted[n], width, 1)];
  return activation;
}

/// Each selection is run as a batch; every column must come out as it does in the first batch that has it.
void check_batches(uint32_t in_width, uint32_t out_width, uint32_t column_tile, const std::vector<float>& all,
                   const std::function<Outcome(const std::vector<float>& src, const std::vector<ColumnInfo>& columns)>& run) {
  std::vector<std::vector<uint32_t>> batches = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
                                                {0}, {16}, {5, 5}, {16, 3}, {4, 3, 2, 1, 0}, {7, 6, 5, 4, 3, 2, 1, 0}, {9, 8, 7, 6, 5, 4, 3, 2, 1}};
  if (extent() == Extent::full) batches.push_back({16, 0, 3});  // column counts are compiled one by one
  Outcome whole;
  for (const auto& batch : batches) {
    CAPTURE(batch.size());
    const auto columns = plain_columns(static_cast<uint32_t>(batch.size()), column_tile);
    const Outcome outcome = run(select_columns(all, in_width, batch, column_tile), columns);
    REQUIRE_MESSAGE(outcome.failure.empty(), outcome.failure);
    if (whole.values.empty()) whole = outcome;
    for (uint32_t n = 0; n < batch.size(); ++n) {
      CAPTURE(batch[n]);
      CHECK(column_bits(outcome.values, out_width, n, column_tile) == column_bits(whole.values, out_width, batch[n], column_tile));
    }
  }
}

constexpr uint32_t kColumnCount = 17;

void check_matmul_columns(const std::vector<uint32_t>& column_tiles, Arithmetic arithmetic = Arithmetic::float32) {
  for (const WeightType type : types_of_run())
    for (const uint32_t column_tile : column_tiles) {
      CAPTURE(weight_type_name(type));
      CAPTURE(column_tile);
      Random random(0xb175);
      const TestMatrix matrix = make_matrix(random, Values::ordinary, {type}, 77, weight_type_info(type).file_block_elements == 256 ? 768 : 352);
      const auto all = random_values(random, Values::ordinary, uint64_t{kColumnCount} * matrix.width);
      check_batches(matrix.width, matrix.rows, column_tile, all, [&](const std::vector<float>& src, const std::vector<ColumnInfo>& columns) {
        return run_matmul(test_devices().vulkan, {matrix, columns, column_tile, 0, matrix.rows, src, {}, {}, arithmetic});
      });
    }
}

TEST_CASE("bits: matmul's columns do not depend on each other, in both families, for every weight type") {
  check_matmul_columns({1, test_devices().chosen.many_column_tile});
}

TEST_CASE("bits: columns on cooperative matrices do not depend on each other, for every weight type") {
  const std::optional<VariantSet> cooperative = cooperative_variants("bits: columns on cooperative matrices");
  if (!cooperative) return;
  const VariantScope scope(*cooperative);
  check_matmul_columns({cooperative->many_column_tile});
}

TEST_CASE("bits: columns in 8-bit integers do not depend on each other, for every weight type") {
  if (has_integer_dot_product("bits: columns in 8-bit integers")) check_matmul_columns({test_devices().chosen.many_column_tile}, Arithmetic::int8);
}

TEST_CASE("bits: rms_norm's columns do not depend on each other") {
  for (const uint32_t column_tile : {uint32_t{1}, test_devices().chosen.many_column_tile}) {
    CAPTURE(column_tile);
    Random random(0xb174);
    constexpr uint32_t kWidth = 333;
    const auto weight = random_values(random, Values::ordinary, kWidth);
    const auto all = random_values(random, Values::ordinary, uint64_t{kColumnCount} * kWidth);
    check_batches(kWidth, kWidth, column_tile, all, [&](const std::vector<float>& src, const std::vector<ColumnInfo>& columns) {
      return run_norm(test_devices().vulkan, {kWidth, column_tile, columns, src, weight});
    });
  }
}

AttentionCase long_case(uint32_t window) {
  AttentionCase c;
  c.shape = {{2, 3, 64, 64, 16}, 1, 9, window, 0.125f};
  c.formats = FormatMix::mixed;
  c.seed = 0xb173;
  return c;
}

TEST_CASE("bits: attend_prefill gives the same in chunks of 1, 7, 32 and all, beside other sequences, from any page table") {
  constexpr uint32_t kLength = 100;
  for (const uint32_t window : {0u, 37u}) {
    AttentionCase whole = long_case(window);
    whole.column_tile = test_devices().chosen.many_column_tile;
    whole.sequences = {{0, kLength}};
    prepare(whole);
    const Outcome expected = run_prefill(test_devices().vulkan, whole);
    REQUIRE_MESSAGE(expected.failure.empty(), expected.failure);
    for (const uint32_t chunk : {1u, 7u, 32u, kLength})
      for (uint32_t arrangement = 0; arrangement < kArrangementCount; ++arrangement)
        for (uint32_t begin = 0; begin < kLength; begin += chunk) {
          if (chunk == 1 && begin % 9 != 0) continue;
          AttentionCase part = whole;
          part.arrangement = static_cast<Arrangement>(arrangement);
          part.sequences = {{begin, std::min(chunk, kLength - begin)}, {40, 3}};
          prepare(part);
          const Outcome outcome = run_prefill(test_devices().vulkan, part);
          REQUIRE_MESSAGE(outcome.failure.empty(), outcome.failure);
          CAPTURE(window);
          CAPTURE(chunk);
          CAPTURE(begin);
          CAPTURE(arrangement_name(part.arrangement));
          for (uint32_t i = 0; i < part.sequences[0].count; ++i)
            CHECK(column_bits(outcome.values, whole.dst_width(), i, whole.column_tile) ==
                  column_bits(expected.values, whole.dst_width(), begin + i, whole.column_tile));
        }
  }
}

TEST_CASE("bits: attend_decode and attend_merge give the same in any batch, with more splits than needed, from any page table") {
  for (const uint32_t window : {0u, 151u})
    for (const uint32_t history : {15u, 127u, 128u, 300u, 1000u}) {
      AttentionCase solo = long_case(window);
      solo.sequences = {{history, 1}};
      prepare(solo);
      const uint32_t splits = case_split_count(solo, test_devices().vulkan.variants());
      const Outcome expected = run_decode_and_merge(test_devices().vulkan, solo, splits);
      REQUIRE_MESSAGE(expected.failure.empty(), expected.failure);
      for (uint32_t others : {0u, 1u, 4u, 7u}) {
        AttentionCase batch = solo;
        batch.arrangement = static_cast<Arrangement>(others % kArrangementCount);
        for (uint32_t i = 0; i < others; ++i) batch.sequences.push_back({i * 61, 1});
        prepare(batch);
        const Outcome outcome = run_decode_and_merge(test_devices().vulkan, batch, case_split_count(batch, test_devices().vulkan.variants()) + others);
        REQUIRE_MESSAGE(outcome.failure.empty(), outcome.failure);
        CAPTURE(window);
        CAPTURE(history);
        CAPTURE(others);
        CHECK(column_bits(outcome.values, solo.dst_width(), 0, 1) == column_bits(expected.values, solo.dst_width(), 0, 1));
      }
    }
}

}  // namespace
}  // namespace quire::conformance
