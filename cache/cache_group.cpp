#include "cache/cache_group.hpp"

#include "engine/base/checked.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire {

std::optional<uint32_t> CacheGroup::cache_layer(uint32_t model_layer) const {
  for (uint32_t i = 0; i < layers.size(); ++i) {
    if (layers[i] == model_layer) return i;
  }
  for (const BorrowedLayer& borrowed : borrowed_layers) {
    if (borrowed.model_layer == model_layer) return borrowed.cache_layer;
  }
  return std::nullopt;
}

Result<uint32_t> choose_tokens_per_page(const CacheGroup& group) {
  PageShape shape = group.page_shape();
  shape.tokens = kDefaultTokensPerPage;
  Result<uint32_t> bytes = checked_page_bytes(shape, kWidestPageFormats);
  while (bytes.code() == Code::unsupported && shape.tokens > kMinTokensPerPage) {
    shape.tokens /= 2;
    bytes = checked_page_bytes(shape, kWidestPageFormats);
  }
  QUIRE_TRY(bytes);
  return shape.tokens;
}

Status check_cache_group(const CacheGroup& group) {
  const uint32_t tokens = group.tokens_per_page;
  if (tokens != 16 && tokens != 32 && tokens != 64) {
    return make_error(Code::invalid_argument, "%u tokens a page: 16, 32 or 64 are possible", tokens);
  }
  for (const BorrowedLayer& borrowed : group.borrowed_layers) {
    if (borrowed.cache_layer >= group.layers.size()) {
      return make_error(Code::invalid_argument, "model layer %u borrows cache layer %u of a group with %zu layers", borrowed.model_layer,
                        borrowed.cache_layer, group.layers.size());
    }
  }
  QUIRE_TRY(checked_page_bytes(group.page_shape(), kWidestPageFormats));
  return {};
}

uint32_t page_count(const CacheGroup& group, uint32_t length) { return ceil_div(length, group.tokens_per_page); }

uint32_t first_held_page(const CacheGroup& group, uint32_t length) {
  return first_visible_slot(length, group.window) / group.tokens_per_page;
}

uint32_t held_pages(const CacheGroup& group, uint32_t length) {
  const uint32_t count = page_count(group, length);
  const uint32_t first = first_held_page(group, length);
  return count > first ? count - first : 0;
}

uint32_t most_held_pages(const CacheGroup& group) { return group.window == 0 ? 0 : ceil_div(group.window, group.tokens_per_page) + 1; }

}  // namespace quire
