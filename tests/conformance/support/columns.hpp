// The columns of one case: which sequence and slot each belongs to, in tiles of one sequence, with padding.
#pragma once

#include <cstdint>
#include <vector>

#include "shaders/interface/kernel_args.h"
#include "tests/conformance/support/values.hpp"

namespace quire::conformance {

/// Consecutive slots [first_slot, first_slot + count) of one sequence.
struct ColumnRun {
  uint32_t sequence = 0;   ///< as ColumnInfo::sequence
  uint32_t first_slot = 0;
  uint32_t count = 0;
};

inline constexpr ColumnInfo kPaddingColumn{0xffffff01u, 0xffffff02u, 0xffffff03u, PADDING_COLUMN};

/// Each run starts a new tile; the rest of its last tile is padding, whose other fields lead nowhere. Positions differ from slots.
std::vector<ColumnInfo> make_columns(const std::vector<ColumnRun>& runs, uint32_t column_tile);

/// An activation [width][columns.size()] in tiles: random values in real columns, poison in padding.
std::vector<float> make_activation(Random& random, Values values, uint32_t width, const std::vector<ColumnInfo>& columns, uint32_t column_tile);

/// `count` real columns of sequence 0, padded to whole tiles.
std::vector<ColumnInfo> plain_columns(uint32_t count, uint32_t column_tile);

/// The column that element `index` of a [width]-wide activation belongs to.
uint32_t column_of_element(uint32_t index, uint32_t width, uint32_t column_tile);
/// The row (feature) of element `index`.
uint32_t row_of_element(uint32_t index, uint32_t width, uint32_t column_tile);

}  // namespace quire::conformance
