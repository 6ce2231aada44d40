#include "tests/conformance/support/attention_case.hpp"

#include <algorithm>
#include <cmath>

namespace quire::conformance {
namespace {

constexpr uint64_t kQueryStream = 1;
constexpr uint64_t kKeyStream = 2;
constexpr uint64_t kValueStream = 3;

Random stream(const AttentionCase& c, uint64_t kind, uint32_t sequence, uint32_t head, uint32_t slot) {
  Random mixer(c.seed + kind * 0x1000003 + sequence * 0x10001 + head * 0x101);
  return Random(mixer.next() + slot);
}

std::vector<float> query_row(const AttentionCase& c, uint32_t sequence, uint32_t head, uint32_t slot) {
  Random random = stream(c, kQueryStream, sequence, head, slot);
  std::vector<float> row(c.shape.page.k_dim);
  const float range = c.values == KeyValues::large ? 30.0f : 2.0f;
  for (float& value : row) value = c.values == KeyValues::dominant ? random.uniform(0.5f, 1) : random.uniform(-range, range);
  return row;
}

bool is_dominant(const AttentionCase& c, uint32_t sequence, uint32_t slot) {
  const AttentionSequence& s = c.sequences[sequence];
  return slot == first_visible_slot(s.history + s.count / 2, c.shape.window) + std::min(7u, s.history);
}

std::vector<float> key_row(const AttentionCase& c, uint32_t sequence, uint32_t head, uint32_t slot) {
  const bool equal = c.values == KeyValues::all_equal;
  Random random = stream(c, kKeyStream, sequence, head, equal ? 0 : slot);
  std::vector<float> row(c.shape.page.k_dim);
  const float range = c.values == KeyValues::large ? 30.0f : 2.0f;
  const bool dominant = c.values == KeyValues::dominant && is_dominant(c, sequence, slot);
  for (float& value : row) value = dominant ? 6.0f : random.uniform(-range, range);
  return row;
}

std::vector<float> value_row(const AttentionCase& c, uint32_t sequence, uint32_t head, uint32_t slot) {
  Random random = stream(c, kValueStream, sequence, head, slot);
  std::vector<float> row(c.shape.page.v_dim);
  for (float& value : row) {
    switch (c.values) {
      case KeyValues::all_equal: value = random.grid(8, 1); break;
      case KeyValues::large: value = random.uniform(-1e4f, 1e4f); break;
      default: value = random.uniform(-2, 2); break;
    }
  }
  return row;
}

double norm(const std::vector<float>& row) {
  double sum = 0;
  for (float value : row) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

uint32_t first_needed(const AttentionCase& c, const AttentionSequence& s) { return first_visible_slot(s.history, c.shape.window); }

PagedPlan plan_of(const AttentionCase& c) {
  PagedPlan plan{c.shape.page, c.arrangement, c.formats, {}, c.seed};
  for (const AttentionSequence& s : c.sequences) plan.sequences.push_back({s.history + s.count, first_needed(c, s)});
  return plan;
}

}  // namespace

const char* key_values_name(KeyValues values) {
  constexpr const char* kNames[] = {"ordinary", "all_equal", "dominant", "large"};
  return kNames[static_cast<uint32_t>(values)];
}

uint32_t history_slots(uint32_t index, uint32_t page_tokens) {
  const uint32_t slots[] = {0, 1, page_tokens - 1, page_tokens, page_tokens + 1, 3 * page_tokens - 1, 1000};
  return slots[index];
}

uint32_t window_slots(uint32_t index, uint32_t page_tokens) {
  const uint32_t slots[] = {0, 1, page_tokens, 5, 151};
  return slots[index];
}

void prepare(AttentionCase& c) {
  std::vector<ColumnRun> runs;
  for (uint32_t s = 0; s < c.sequences.size(); ++s) runs.push_back({PagedMemory::sequence_index(s), c.sequences[s].history, c.sequences[s].count});
  c.columns = make_columns(runs, c.column_tile);
  if (c.column_tile == 1) c.columns.insert(c.columns.begin() + 1, kPaddingColumn);
  c.q.assign(c.columns.size() * c.q_width(), kPoisonFloat);
  double query_norm = 0;
  double key_norm = 0;
  for (uint32_t n = 0; n < c.columns.size(); ++n) {
    if (c.columns[n].sequence == PADDING_COLUMN) continue;
    for (uint32_t h = 0; h < c.shape.q_heads; ++h) {
      const auto row = query_row(c, c.columns[n].sequence / 2, h, c.columns[n].slot);
      query_norm = std::max(query_norm, norm(row));
      for (uint32_t d = 0; d < row.size(); ++d) c.q[activation_index(h * c.shape.page.k_dim + d, n, c.q_width(), c.column_tile)] = row[d];
    }
  }
  c.max_value = 0;
  for (uint32_t s = 0; s < c.sequences.size(); ++s)
    for (uint32_t h = 0; h < c.shape.page.kv_heads; ++h)
      for (uint32_t slot = first_needed(c, c.sequences[s]); slot < c.sequences[s].history + c.sequences[s].count; ++slot) {
        key_norm = std::max(key_norm, norm(key_row(c, s, h, slot)));
        for (float value : value_row(c, s, h, slot)) c.max_value = std::max(c.max_value, std::abs(static_cast<double>(value)));
      }
  c.max_score = std::abs(static_cast<double>(c.shape.scale)) * query_norm * key_norm;  // Cauchy-Schwarz, of magnitudes
}

AttentionMemory::AttentionMemory(CaseMemory& memory, const AttentionCase& c)
    : memory_(memory), case_(c), pages_(memory, plan_of(c), RegionUse::input), columns_(memory.add(bytes_of(c.columns))) {}

void AttentionMemory::fill() {
  pages_.connect();
  for (uint32_t s = 0; s < case_.sequences.size(); ++s)
    for (uint32_t h = 0; h < case_.shape.page.kv_heads; ++h)
      for (uint32_t slot = first_needed(case_, case_.sequences[s]); slot < case_.sequences[s].history + case_.sequences[s].count; ++slot) {
        pages_.store_k(s, case_.shape.layer, h, slot, key_row(case_, s, h, slot));
        pages_.store_v(s, case_.shape.layer, h, slot, value_row(case_, s, h, slot));
      }
}

StepTables AttentionMemory::tables() {
  reachable_ = pages_.reachable();
  return {memory_.slice(columns_), pages_.sequences(), reachable_};
}

}  // namespace quire::conformance
