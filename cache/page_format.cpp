#include "cache/page_format.hpp"

#include <array>
#include <cinttypes>

#include "engine/base/checked.hpp"

namespace quire {
namespace {

struct NamedFormat {
  PageFormat format;
  std::string_view name;
};
constexpr std::array kFormats = {PageFormat::q8, PageFormat::f16, PageFormat::f32};
constexpr std::array<NamedFormat, kFormats.size()> kNames = {{{PageFormat::q8, "q8"}, {PageFormat::f16, "f16"}, {PageFormat::f32, "f32"}}};

constexpr uint64_t kMaxRegionBytes = 0xffffffffu - 15u;  // page_align16 must not wrap either

/// Bytes of the codes and scales of one layer's K (or V), or nothing if 32 bits do not hold them.
std::optional<uint64_t> layer_half_bytes(const PageShape& shape, PageFormat format, uint32_t dim) {
  // A row of more elements cannot be part of a page of kMaxPageBytes; below it, row bytes are far from 32 bits.
  if (dim > kMaxPageBytes) return std::nullopt;
  const auto word = static_cast<uint32_t>(format);
  const std::optional<uint64_t> rows = checked_mul<uint64_t>(shape.kv_heads, shape.tokens);
  if (!rows) return std::nullopt;
  const std::optional<uint64_t> codes = checked_mul<uint64_t>(*rows, page_row_code_bytes(word, dim));
  const std::optional<uint64_t> scales = checked_mul<uint64_t>(*rows, page_row_scale_bytes(word, dim));
  if (!codes || !scales || *codes > kMaxRegionBytes || *scales > kMaxRegionBytes) return std::nullopt;
  return uint64_t{page_code_region_bytes(shape, word, dim)} + page_scale_region_bytes(shape, word, dim);
}

}  // namespace

std::span<const PageFormat> all_page_formats() { return kFormats; }

std::string_view page_format_name(PageFormat format) {
  for (const NamedFormat& named : kNames) {
    if (named.format == format) return named.name;
  }
  return "unknown";
}

std::optional<PageFormat> page_format_from_name(std::string_view name) {
  for (const NamedFormat& named : kNames) {
    if (named.name == name) return named.format;
  }
  return std::nullopt;
}

Result<uint32_t> checked_page_bytes(const PageShape& shape, PageFormats formats) {
  if (shape.layers == 0 || shape.kv_heads == 0 || shape.k_dim == 0 || shape.v_dim == 0 || shape.tokens == 0) {
    return make_error(Code::invalid_argument, "a page of %u layers, %u heads, rows of %u and %u elements and %u tokens holds nothing", shape.layers,
                      shape.kv_heads, shape.k_dim, shape.v_dim, shape.tokens);
  }
  if (shape.k_dim % 8 != 0 || shape.v_dim % 8 != 0) {
    return make_error(Code::invalid_argument, "rows of %u and %u elements: a page needs multiples of 8", shape.k_dim, shape.v_dim);
  }
  const std::optional<uint64_t> k_bytes = layer_half_bytes(shape, formats.k, shape.k_dim);
  const std::optional<uint64_t> v_bytes = layer_half_bytes(shape, formats.v, shape.v_dim);
  // Each half is below 2^33, so their sum does not wrap; the product with the layers may.
  const std::optional<uint64_t> bytes =
      k_bytes && v_bytes ? checked_mul<uint64_t>(*k_bytes + *v_bytes, shape.layers) : std::optional<uint64_t>();
  if (!bytes || *bytes > kMaxPageBytes) {
    return make_error(Code::unsupported, "a page of %u layers, %u heads, rows of %u and %u elements and %u tokens is larger than %" PRIu64 " bytes",
                      shape.layers, shape.kv_heads, shape.k_dim, shape.v_dim, shape.tokens, kMaxPageBytes);
  }
  return page_bytes(shape, formats.word());
}

}  // namespace quire
