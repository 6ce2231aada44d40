// What the numbers in a page are written in: names, the word a page-table entry carries, and the bytes of a page.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "engine/base/result.hpp"
#include "shaders/interface/page_layout.h"

namespace quire {

/// Values of shaders/interface/page_layout.h.
enum class PageFormat : uint8_t { f16 = PAGE_FORMAT_F16, f32 = PAGE_FORMAT_F32, q8 = PAGE_FORMAT_Q8 };

/// Every format of this build, narrowest first.
std::span<const PageFormat> all_page_formats();
/// As `--kv` takes it: "f16", "f32", "q8".
std::string_view page_format_name(PageFormat format);
std::optional<PageFormat> page_format_from_name(std::string_view name);

/// K and V of one page are chosen apart from each other.
struct PageFormats {
  PageFormat k = PageFormat::f16;
  PageFormat v = PageFormat::f16;
  /// The `formats` word of a PageEntry.
  constexpr uint32_t word() const { return static_cast<uint32_t>(k) | static_cast<uint32_t>(v) << 8; }
  bool operator==(const PageFormats&) const = default;
};

/// The format in which every page is at least as large as in any other: it decides how many tokens a page holds.
inline constexpr PageFormats kWidestPageFormats = {PageFormat::f32, PageFormat::f32};

/// No page is larger, so that every offset in it fits 32 bits.
inline constexpr uint64_t kMaxPageBytes = uint64_t{8} << 20;

/// page_bytes() of the shared header, after it is certain that its 32-bit arithmetic does not wrap.
/// On error: invalid_argument (a zero in the shape, k_dim or v_dim no multiple of 8), unsupported (more than kMaxPageBytes).
Result<uint32_t> checked_page_bytes(const PageShape& shape, PageFormats formats);

}  // namespace quire
