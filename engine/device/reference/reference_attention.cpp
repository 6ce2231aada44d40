// attend_prefill, attend_decode, attend_merge: softmax over the visible slots, each slot's rows read from its page.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "engine/device/reference/reference_kernels.hpp"
#include "engine/device/reference/reference_pages.hpp"

namespace quire::reference {
namespace {

/// Unnormalised attention of one query over some slots: sums[d] = sum over j of exp(score_j - maximum) V[j, d], weight = sum of exp(...).
struct PartialAttention {
  std::vector<double> sums;
  double maximum = -std::numeric_limits<double>::infinity();
  double weight = 0;
};

/// One query head of one column.
struct Query {
  std::span<const float> values;  ///< [k_dim]
  const SequenceInfo& sequence;
  const PageShape& page;
  uint32_t layer = 0;
  uint32_t kv_head = 0;
  double scale = 0;
};

/// Slots [begin, end).
PartialAttention attend(const Query& query, uint32_t begin, uint32_t end) {
  PartialAttention partial;
  partial.sums.assign(query.page.v_dim, 0);
  std::vector<float> row(std::max(query.page.k_dim, query.page.v_dim));
  const std::span<float> k(row.data(), query.page.k_dim);
  const std::span<float> v(row.data(), query.page.v_dim);
  std::vector<double> scores;
  for (uint32_t slot = begin; slot < end; ++slot) {
    read_k_row({query.sequence, query.page, query.layer, query.kv_head, slot}, k);
    double dot = 0;
    for (uint32_t d = 0; d < query.page.k_dim; ++d) dot += static_cast<double>(query.values[d]) * static_cast<double>(k[d]);
    scores.push_back(query.scale * dot);
    partial.maximum = std::max(partial.maximum, scores.back());
  }
  for (uint32_t slot = begin; slot < end; ++slot) {
    const double weight = std::exp(scores[slot - begin] - partial.maximum);
    read_v_row({query.sequence, query.page, query.layer, query.kv_head, slot}, v);
    for (uint32_t d = 0; d < query.page.v_dim; ++d) partial.sums[d] += weight * static_cast<double>(v[d]);
    partial.weight += weight;
  }
  return partial;
}

std::vector<float> query_values(const float* q, uint32_t head, uint32_t column, uint32_t q_heads, uint32_t k_dim, uint32_t column_tile) {
  std::vector<float> values(k_dim);
  for (uint32_t d = 0; d < k_dim; ++d) values[d] = q[activation_index(head * k_dim + d, column, q_heads * k_dim, column_tile)];
  return values;
}

}  // namespace

void attend_prefill(const AttendPrefillArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  const PageShape& page = args.page;
  const auto* columns = host_pointer<const ColumnInfo>(args.columns);
  const auto* sequences = host_pointer<const SequenceInfo>(args.sequences);
  auto* dst = host_pointer<float>(args.dst);
  const uint32_t group = args.q_heads / page.kv_heads;
  const uint32_t dst_width = args.q_heads * page.v_dim;
  for (uint32_t n = 0; n < args.column_count; ++n) {
    const ColumnInfo& column = columns[n];
    if (column.sequence == PADDING_COLUMN) {
      for (uint32_t row = 0; row < dst_width; ++row) dst[activation_index(row, n, dst_width, column_tile)] = 0;
      continue;
    }
    for (uint32_t h = 0; h < args.q_heads; ++h) {
      const auto values = query_values(host_pointer<const float>(args.q), h, n, args.q_heads, page.k_dim, column_tile);
      const Query query{values, sequences[column.sequence], page, args.layer, h / group, args.scale};
      const PartialAttention whole = attend(query, first_visible_slot(column.slot, args.window), column.slot + 1);
      for (uint32_t d = 0; d < page.v_dim; ++d)
        dst[activation_index(h * page.v_dim + d, n, dst_width, column_tile)] = static_cast<float>(whole.sums[d] / whole.weight);
    }
  }
}

void attend_decode(const AttendDecodeArgs& args, const KernelVariant& kernel) {
  const uint32_t split_slots = spec_value(kernel, "split_slots");
  const PageShape& page = args.page;
  const auto* columns = host_pointer<const ColumnInfo>(args.columns);
  const auto* sequences = host_pointer<const SequenceInfo>(args.sequences);
  auto* partials = host_pointer<float>(args.partials);
  const uint32_t group = args.q_heads / page.kv_heads;
  for (uint32_t n = 0; n < args.column_count; ++n) {
    const ColumnInfo& column = columns[n];
    if (column.sequence == PADDING_COLUMN) continue;
    const uint32_t first = first_visible_slot(column.slot, args.window);
    for (uint32_t h = 0; h < args.q_heads; ++h) {
      const auto values = query_values(host_pointer<const float>(args.q), h, n, args.q_heads, page.k_dim, 1);
      const Query query{values, sequences[column.sequence], page, args.layer, h / group, args.scale};
      for (uint32_t i = 0; i < args.split_count; ++i) {
        const uint32_t split = first / split_slots + i;
        if (split > column.slot / split_slots) break;
        const uint32_t end = std::min((split + 1) * split_slots, column.slot + 1);
        const PartialAttention partial = attend(query, std::max(split * split_slots, first), end);
        float* out = partials + ((uint64_t{n} * args.q_heads + h) * args.split_count + i) * (page.v_dim + 2);
        for (uint32_t d = 0; d < page.v_dim; ++d) out[d] = static_cast<float>(partial.sums[d]);
        out[page.v_dim] = static_cast<float>(partial.maximum);
        out[page.v_dim + 1] = static_cast<float>(partial.weight);
      }
    }
  }
}

void attend_merge(const AttendMergeArgs& args, const KernelVariant& kernel) {
  const uint32_t split_slots = spec_value(kernel, "split_slots");
  const auto* columns = host_pointer<const ColumnInfo>(args.columns);
  const auto* partials = host_pointer<const float>(args.partials);
  auto* dst = host_pointer<float>(args.dst);
  const uint32_t stride = args.v_dim + 2;
  for (uint32_t n = 0; n < args.column_count; ++n) {
    const ColumnInfo& column = columns[n];
    for (uint32_t h = 0; h < args.q_heads; ++h) {
      float* out = dst + activation_index(h * args.v_dim, n, args.q_heads * args.v_dim, 1);
      if (column.sequence == PADDING_COLUMN) {
        std::fill_n(out, args.v_dim, 0.0f);
        continue;
      }
      const uint32_t used = column.slot / split_slots - first_visible_slot(column.slot, args.window) / split_slots + 1;
      const float* splits = partials + (uint64_t{n} * args.q_heads + h) * args.split_count * stride;
      double maximum = -std::numeric_limits<double>::infinity();
      for (uint32_t i = 0; i < used; ++i) maximum = std::max(maximum, static_cast<double>(splits[i * stride + args.v_dim]));
      std::vector<double> sums(args.v_dim, 0);
      double weight = 0;
      for (uint32_t i = 0; i < used; ++i) {
        const float* split = splits + i * stride;
        const double factor = std::exp(static_cast<double>(split[args.v_dim]) - maximum);
        for (uint32_t d = 0; d < args.v_dim; ++d) sums[d] += factor * static_cast<double>(split[d]);
        weight += factor * static_cast<double>(split[args.v_dim + 1]);
      }
      for (uint32_t d = 0; d < args.v_dim; ++d) out[d] = static_cast<float>(sums[d] / weight);
    }
  }
}

}  // namespace quire::reference
