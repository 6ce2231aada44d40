// CacheGroup: the layers of a model that share K/V shape and window, and so share pages. Plain descriptions: nothing here owns memory.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cache/page_format.hpp"
#include "engine/base/result.hpp"
#include "shaders/interface/page_layout.h"

namespace quire {

inline constexpr uint32_t kDefaultTokensPerPage = 64;
inline constexpr uint32_t kMinTokensPerPage = 16;

/// A model layer that computes no K and V of its own and attends to another layer's.
struct BorrowedLayer {
  uint32_t model_layer = 0;
  uint32_t cache_layer = 0;          ///< index into CacheGroup::layers
};

struct CacheGroup {
  std::vector<uint32_t> layers;      ///< layers[i] is the model layer whose K and V are layer i of each page
  std::vector<BorrowedLayer> borrowed_layers = {};
  uint32_t kv_heads = 0;
  uint32_t k_dim = 0;                ///< elements of one K row
  uint32_t v_dim = 0;                ///< elements of one V row
  uint32_t window = 0;               ///< a query sees this many newest slots, its own included; 0: all
  uint32_t tokens_per_page = 0;      ///< 16, 32 or 64, as choose_tokens_per_page gives it

  /// What kernels take.
  PageShape page_shape() const { return {static_cast<uint32_t>(layers.size()), kv_heads, k_dim, v_dim, tokens_per_page}; }
  /// Where in this group's pages a model layer's K and V are; nothing if it does not read this group.
  std::optional<uint32_t> cache_layer(uint32_t model_layer) const;
};

/// 64, halved down to 16 until a page of the widest format is at most 8 MiB. Ignores group.tokens_per_page.
/// On error: invalid_argument (a shape that no page can have), unsupported (too large at 16 tokens: its layers must be split over more groups).
Result<uint32_t> choose_tokens_per_page(const CacheGroup& group);

/// On error: invalid_argument (names the field), unsupported (a page of the widest format is larger than 8 MiB).
Status check_cache_group(const CacheGroup& group);

/// Logical pages [first_held_page, page_count) are what a sequence of `length` slots holds between steps: the pages before have left the window of
/// the next query.
uint32_t page_count(const CacheGroup& group, uint32_t length);
uint32_t first_held_page(const CacheGroup& group, uint32_t length);
/// page_count - first_held_page: at most most_held_pages if there is a window.
uint32_t held_pages(const CacheGroup& group, uint32_t length);
/// ceil(window / tokens_per_page) + 1: what a sequence of any length holds between steps. 0: no window, so no bound.
uint32_t most_held_pages(const CacheGroup& group);

}  // namespace quire
