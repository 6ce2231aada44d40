#include "tests/conformance/support/columns.hpp"

#include "tests/conformance/support/compare.hpp"

namespace quire::conformance {

std::vector<ColumnInfo> make_columns(const std::vector<ColumnRun>& runs, uint32_t column_tile) {
  std::vector<ColumnInfo> columns;
  for (const ColumnRun& run : runs) {
    for (uint32_t i = 0; i < run.count; ++i) {
      const uint32_t slot = run.first_slot + i;
      columns.push_back({slot * 7 % 333, slot + 4096, slot, run.sequence});
    }
    while (columns.size() % column_tile != 0) columns.push_back(kPaddingColumn);
  }
  return columns;
}

std::vector<ColumnInfo> plain_columns(uint32_t count, uint32_t column_tile) { return make_columns({{0, 0, count}}, column_tile); }

std::vector<float> make_activation(Random& random, Values values, uint32_t width, const std::vector<ColumnInfo>& columns, uint32_t column_tile) {
  std::vector<float> activation(columns.size() * width, kPoisonFloat);
  for (uint32_t n = 0; n < columns.size(); ++n)
    if (columns[n].sequence != PADDING_COLUMN)
      for (uint32_t k = 0; k < width; ++k) activation[activation_index(k, n, width, column_tile)] = random_value(random, values);
  return activation;
}

uint32_t column_of_element(uint32_t index, uint32_t width, uint32_t column_tile) {
  return index / (width * column_tile) * column_tile + index % column_tile;
}

uint32_t row_of_element(uint32_t index, uint32_t width, uint32_t column_tile) { return index % (width * column_tile) / column_tile; }

}  // namespace quire::conformance
