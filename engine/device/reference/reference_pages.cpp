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

// A row's codes, and its scales if the format has any.
struct RowBytes {
  std::byte* codes;
  std::byte* scales;
};

RowBytes k_row(const RowPlace& place, const PageEntry& entry) {
  const uint32_t slot = place.slot % place.page.tokens;
  auto* page = host_pointer<std::byte>(entry.page);
  return {page + page_k_codes(place.page, entry.formats, place.layer, place.kv_head, slot),
          page + page_k_scales(place.page, entry.formats, place.layer, place.kv_head, slot)};
}

RowBytes v_row(const RowPlace& place, const PageEntry& entry) {
  const uint32_t slot = place.slot % place.page.tokens;
  auto* page = host_pointer<std::byte>(entry.page);
  return {page + page_v_codes(place.page, entry.formats, place.layer, place.kv_head, slot),
          page + page_v_scales(place.page, entry.formats, place.layer, place.kv_head, slot)};
}

uint16_t load_half(const std::byte* bytes, size_t index) {
  uint16_t half;
  std::memcpy(&half, bytes + 2 * index, 2);
  return half;
}

void store_half(std::byte* bytes, size_t index, uint16_t half) { std::memcpy(bytes + 2 * index, &half, 2); }

void read_row(uint32_t format, const RowBytes& row, std::span<float> values) {
  if (format == PAGE_FORMAT_F32) {
    std::memcpy(values.data(), row.codes, values.size_bytes());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = format == PAGE_FORMAT_Q8 ? half_to_float(load_half(row.scales, i / PAGE_GROUP)) * static_cast<float>(std::to_integer<int8_t>(row.codes[i]))
                                         : half_to_float(load_half(row.codes, i));
}

constexpr uint16_t kLargestHalf = 0x7bff;
constexpr uint16_t kNanHalf = 0x7e00;

// The half nearest to largest / 127, ties to even, at most the largest half. Seven bits times a half and the distances are exact in double precision.
uint16_t nearest_scale(double largest) {
  if (largest >= 127.0 * static_cast<double>(half_to_float(kLargestHalf))) return kLargestHalf;
  const auto distance = [&](uint16_t half) { return std::abs(127.0 * static_cast<double>(half_to_float(half)) - largest); };
  uint16_t best = float_to_half(static_cast<float>(largest / 127));
  for (const int step : {-1, 1}) {
    if ((step < 0 && best == 0) || (step > 0 && best == kLargestHalf)) continue;
    const auto other = static_cast<uint16_t>(best + step);
    if (distance(other) < distance(best) || (distance(other) == distance(best) && other % 2 == 0)) best = other;
  }
  return best;
}

// One group: codes are the integers nearest to value / scale, ties to even, at most 127 in magnitude.
void write_q8_group(std::byte* scale_place, std::byte* codes, std::span<const float> values) {
  double largest = 0;
  bool has_nan = false;
  for (const float value : values) {
    has_nan = has_nan || std::isnan(value);
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  }
  const uint16_t half = has_nan ? kNanHalf : nearest_scale(largest);
  store_half(scale_place, 0, half);
  const auto scale = static_cast<double>(half_to_float(half));
  for (size_t i = 0; i < values.size(); ++i) {
    const double code = has_nan || scale == 0 ? 0 : std::clamp(std::nearbyint(static_cast<double>(values[i]) / scale), -127.0, 127.0);
    codes[i] = static_cast<std::byte>(static_cast<int8_t>(code));
  }
}

void write_row(uint32_t format, const RowBytes& row, std::span<const float> values) {
  if (format == PAGE_FORMAT_F32) {
    std::memcpy(row.codes, values.data(), values.size_bytes());
    return;
  }
  if (format == PAGE_FORMAT_Q8) {
    for (size_t first = 0; first < values.size(); first += PAGE_GROUP)
      write_q8_group(row.scales + 2 * (first / PAGE_GROUP), row.codes + first, values.subspan(first, std::min<size_t>(PAGE_GROUP, values.size() - first)));
    return;
  }
  // Numbers beyond f16 become its largest: an infinity in a page would make NaN of every sum that gives it weight 0.
  constexpr float kLargest = 65504.0f;
  for (size_t i = 0; i < values.size(); ++i)
    store_half(row.codes, i, float_to_half(std::isnan(values[i]) ? values[i] : std::clamp(values[i], -kLargest, kLargest)));
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
  read_row(page_k_format(entry.formats), k_row(place, entry), values);
}

void read_v_row(const RowPlace& place, std::span<float> values) {
  const PageEntry entry = page_entry(place);
  read_row(page_v_format(entry.formats), v_row(place, entry), values);
}

void write_k_row(const RowPlace& place, std::span<const float> values) {
  const PageEntry entry = page_entry(place);
  write_row(page_k_format(entry.formats), k_row(place, entry), values);
}

void write_v_row(const RowPlace& place, std::span<const float> values) {
  const PageEntry entry = page_entry(place);
  write_row(page_v_format(entry.formats), v_row(place, entry), values);
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
