// The pages, tables and sequences of one case: where pages lie, in which formats, and what their slots hold.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shaders/interface/kernel_args.h"
#include "tests/conformance/support/case_memory.hpp"
#include "tests/conformance/support/values.hpp"

namespace quire::conformance {

/// How a sequence's pages lie in memory.
enum class Arrangement : uint8_t {
  identity,
  reversed,
  random,     ///< with pages of nobody between them
  two_slabs,  ///< neighbours in a table lie in different device buffers
};
inline constexpr uint32_t kArrangementCount = 4;
const char* arrangement_name(Arrangement arrangement);

/// Page formats within each sequence.
enum class FormatMix : uint8_t { f16, f32, q8, k16_v32, k32_v8, k8_v16, mixed /* all nine pairs in turn */ };
inline constexpr uint32_t kFormatMixCount = 7;
const char* format_mix_name(FormatMix mix);

struct SequencePlan {
  uint32_t slot_count = 0;        ///< slots that the table reaches
  uint32_t first_needed_slot = 0; ///< pages wholly below it have been given back: their entries lead to a page of poison
};

struct PagedPlan {
  PageShape page;
  Arrangement arrangement = Arrangement::identity;
  FormatMix formats = FormatMix::f16;
  std::vector<SequencePlan> sequences;
  uint64_t seed = 0;
};

class PagedMemory {
 public:
  /// Adds slabs (arenas 1 and 2, all poison), tables and SequenceInfo to `memory`. `slab_use` is output if the kernel writes pages.
  PagedMemory(CaseMemory& memory, const PagedPlan& plan, RegionUse slab_use);
  /// Writes addresses into tables and sequences. Call after memory.place().
  void connect();

  /// Stores one row as a page of the slot's format holds it. Requires: after connect().
  void store_k(uint32_t sequence, uint32_t layer, uint32_t head, uint32_t slot, std::span<const float> values);
  void store_v(uint32_t sequence, uint32_t layer, uint32_t head, uint32_t slot, std::span<const float> values);

  /// What ColumnInfo::sequence must be: SequenceInfo records of nobody stand before and between the real ones.
  static uint32_t sequence_index(uint32_t sequence) { return 2 * sequence + 1; }
  /// Slabs and tables: everything a kernel may reach.
  std::vector<BufferSlice> reachable() const;
  BufferSlice sequences() const { return memory_.slice(sequences_); }
  const Region& slab(uint32_t index) const { return slabs_[index]; }

 private:
  struct Page {
    uint32_t formats = 0;
    uint32_t slab = 0;
    uint64_t offset_bytes = 0;
  };
  void arrange(std::vector<uint32_t> order);
  const Page& page_of(uint32_t sequence, uint32_t slot) const { return pages_[tables_[sequence][slot / plan_.page.tokens]]; }
  std::byte* contents_of(const Page& page) { return memory_.contents(slabs_[page.slab]).data() + page.offset_bytes; }
  CaseMemory& memory_;
  PagedPlan plan_;
  std::vector<std::vector<uint32_t>> tables_;  ///< per sequence: indices into pages_
  std::vector<Page> pages_;                    ///< the last ones belong to nobody
  Region slabs_[2];
  std::vector<Region> table_regions_;
  Region sequences_;
};

}  // namespace quire::conformance
