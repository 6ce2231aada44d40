// Rows of K and V inside pages, reached as a kernel reaches them: sequence, page table, page, row.
#pragma once

#include <cstdint>
#include <span>

#include "shaders/interface/kernel_args.h"

namespace quire::reference {

/// A row's place: which page of the sequence, and where in it.
struct RowPlace {
  const SequenceInfo& sequence;
  const PageShape& page;
  uint32_t layer = 0;
  uint32_t kv_head = 0;
  uint32_t slot = 0;
};

/// Requires: the slot's page is in the table.
void read_k_row(const RowPlace& place, std::span<float> values);
void read_v_row(const RowPlace& place, std::span<float> values);
/// Rounds to the page's format.
void write_k_row(const RowPlace& place, std::span<const float> values);
void write_v_row(const RowPlace& place, std::span<const float> values);

}  // namespace quire::reference
