#include "engine/device/reference/reference_pages.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/base/half.hpp"
#include "engine/device/reference/reference_kernels.hpp"

namespace quire::reference {
namespace {

PageEntry page_entry(const RowPlace& place) { return host_pointer<const PageEntry>(place.sequence.table)[place.slot / place.page.tokens]; }

std::byte* k_row(const RowPlace& place, const PageEntry& entry) {
  return host_pointer<std::byte>(entry.page) + page_k_codes(place.page, entry.formats, place.layer, place.kv_head, place.slot % place.page.tokens);
}

std::byte* v_row(const RowPlace& place, const PageEntry& entry) {
  return host_pointer<std::byte>(entry.page) + page_v_codes(place.page, entry.formats, place.layer, place.kv_head, place.slot % place.page.tokens);
}

void read_codes(uint32_t format, const std::byte* codes, std::span<float> values) {
  if (format == PAGE_FORMAT_F32) {
    std::memcpy(values.data(), codes, values.size_bytes());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, codes + 2 * i, 2);
    values[i] = half_to_float(half);
  }
}

void write_codes(uint32_t format, std::byte* codes, std::span<const float> values) {
  if (format == PAGE_FORMAT_F32) {
    std::memcpy(codes, values.data(), values.size_bytes());
    return;
  }
  // Numbers beyond f16 become its largest: an infinity in a page would make NaN of every sum that gives it weight 0.
  constexpr float kLargest = 65504.0f;
  for (size_t i = 0; i < values.size(); ++i) {
    const float in_range = std::isnan(values[i]) ? values[i] : std::clamp(values[i], -kLargest, kLargest);
    const uint16_t half = float_to_half(in_range);
    std::memcpy(codes + 2 * i, &half, 2);
  }
}

// Turns the pairs of one head in place; angles[2 i] and angles[2 i + 1] are cos and sin of pair i.
void rotate(std::span<float> head, const float* angles, uint32_t rope_dim, bool neox) {
  for (uint32_t i = 0; i < rope_dim / 2; ++i) {
    float& first = head[neox ? i : 2 * i];
    float& second = head[neox ? i + rope_dim / 2 : 2 * i + 1];
    const double x = first;
    const double y = second;
    const double cos = angles[2 * i];
    const double sin = angles[2 * i + 1];
    first = static_cast<float>(x * cos - y * sin);
    second = static_cast<float>(x * sin + y * cos);
  }
}

}  // namespace

void read_k_row(const RowPlace& place, std::span<float> values) {
  const PageEntry entry = page_entry(place);
  read_codes(page_k_format(entry.formats), k_row(place, entry), values);
}

void read_v_row(const RowPlace& place, std::span<float> values) {
  const PageEntry entry = page_entry(place);
  read_codes(page_v_format(entry.formats), v_row(place, entry), values);
}

void write_k_row(const RowPlace& place, std::span<const float> values) {
  const PageEntry entry = page_entry(place);
  write_codes(page_k_format(entry.formats), k_row(place, entry), values);
}

void write_v_row(const RowPlace& place, std::span<const float> values) {
  const PageEntry entry = page_entry(place);
  write_codes(page_v_format(entry.formats), v_row(place, entry), values);
}

void rope_page_write(const RopePageWriteArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  const PageShape& page = args.page;
  const auto* qkv = host_pointer<const float>(args.qkv);
  const auto* columns = host_pointer<const ColumnInfo>(args.columns);
  const auto* sequences = host_pointer<const SequenceInfo>(args.sequences);
  auto* q = host_pointer<float>(args.q);
  const uint32_t q_rows = args.q_heads * page.k_dim;
  const uint32_t k_rows = page.kv_heads * page.k_dim;
  const uint32_t qkv_rows = q_rows + k_rows + page.kv_heads * page.v_dim;
  std::vector<float> head;
  for (uint32_t n = 0; n < args.column_count; ++n) {
    const ColumnInfo& column = columns[n];
    if (column.sequence == PADDING_COLUMN) {
      for (uint32_t row = 0; row < q_rows; ++row) q[activation_index(row, n, q_rows, column_tile)] = 0;
      continue;
    }
    const float* angles = host_pointer<const float>(args.rope) + n * args.rope_dim;
    const auto load_head = [&](uint32_t first_row, uint32_t dim) {
      head.resize(dim);
      for (uint32_t d = 0; d < dim; ++d) head[d] = qkv[activation_index(first_row + d, n, qkv_rows, column_tile)];
    };
    for (uint32_t h = 0; h < args.q_heads; ++h) {
      load_head(h * page.k_dim, page.k_dim);
      rotate(head, angles, args.rope_dim, args.rope_neox != 0);
      for (uint32_t d = 0; d < page.k_dim; ++d) q[activation_index(h * page.k_dim + d, n, q_rows, column_tile)] = head[d];
    }
    for (uint32_t h = 0; h < page.kv_heads; ++h) {
      const RowPlace place{sequences[column.sequence], page, args.layer, h, column.slot};
      load_head(q_rows + h * page.k_dim, page.k_dim);
      rotate(head, angles, args.rope_dim, args.rope_neox != 0);
      write_k_row(place, head);
      load_head(q_rows + k_rows + h * page.v_dim, page.v_dim);
      write_v_row(place, head);
    }
  }
}

}  // namespace quire::reference
