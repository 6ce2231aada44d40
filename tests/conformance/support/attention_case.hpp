// One attention case, for both families: shapes, sequences, queries, and K and V in pages.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/conformance/support/columns.hpp"
#include "tests/conformance/support/outcome.hpp"
#include "tests/conformance/support/paged_memory.hpp"

namespace quire::conformance {

/// What K, V and the queries hold.
enum class KeyValues : uint8_t {
  ordinary,   ///< scores of a few units
  all_equal,  ///< every key the same, V small integers: the result is their mean
  dominant,   ///< one key outweighs the rest
  large,      ///< scores of several hundred, V near 1e4
};
inline constexpr uint32_t kKeyValuesCount = 4;
const char* key_values_name(KeyValues values);

struct HeadCounts {
  uint32_t q;
  uint32_t kv;
};
struct HeadDims {
  uint32_t k;
  uint32_t v;
};
/// MHA, GQA 2:1, 3:1 and 7:1, MQA.
inline constexpr HeadCounts kHeadCounts[] = {{4, 4}, {4, 2}, {9, 3}, {14, 2}, {5, 1}};
inline constexpr HeadDims kHeadDims[] = {{32, 32}, {40, 40}, {64, 64}, {80, 80}, {96, 96}, {128, 128}, {256, 256}, {96, 64}, {32, 80}};
inline constexpr uint32_t kPageTokens[] = {16, 32, 64};

/// Earlier slots of a sequence: 0, 1, page - 1, page, page + 1, 3 pages - 1, 1000.
inline constexpr uint32_t kHistoryCount = 7;
uint32_t history_slots(uint32_t index, uint32_t page_tokens);

/// 0 (none), 1, a page, and two odd sizes, one beyond a page and a split.
inline constexpr uint32_t kWindowCount = 5;
uint32_t window_slots(uint32_t index, uint32_t page_tokens);

/// Slots [history, history + count) of a sequence query; slots before them, less what the window cut off, hold K and V.
struct AttentionSequence {
  uint32_t history = 0;
  uint32_t count = 1;
};

struct AttentionCase {
  AttentionShape shape;
  Arrangement arrangement = Arrangement::identity;
  FormatMix formats = FormatMix::f16;
  KeyValues values = KeyValues::ordinary;
  std::vector<AttentionSequence> sequences;
  uint32_t column_tile = 1;
  uint64_t seed = 0;

  /// Filled by prepare().
  std::vector<ColumnInfo> columns;
  std::vector<float> q;              ///< activation [q_heads * k_dim][columns]
  double max_value = 0;              ///< largest |V| element
  double max_score = 0;              ///< bound of |scale * q . k|, summed by magnitude

  uint32_t q_width() const { return shape.q_heads * shape.page.k_dim; }
  uint32_t dst_width() const { return shape.q_heads * shape.page.v_dim; }
  /// Error that f32 arithmetic may leave in a softmax average: rounding of the sums (2e-6), and of scores of the given size (a score that is off by
  /// e scales its weight by exp(e); 4e-7 is three units in the last place), each relative to the largest |V|.
  double tolerance() const { return max_value * (2e-6 + 4e-7 * max_score); }
};

/// Makes columns, with a padding column after the first in tiles of one, and queries. Queries and rows depend on (seed, sequence, head, slot) alone, so that other chunks of a sequence hold the same.
void prepare(AttentionCase& c);

/// The case's pages in memory, filled: visible rows of the layer with data, everything else poison.
class AttentionMemory {
 public:
  AttentionMemory(CaseMemory& memory, const AttentionCase& c);
  /// Call after memory.place().
  void fill();
  StepTables tables();

 private:
  CaseMemory& memory_;
  const AttentionCase& case_;
  PagedMemory pages_;
  Region columns_;
  std::vector<BufferSlice> reachable_;
};

}  // namespace quire::conformance
