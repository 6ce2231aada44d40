#include "cache/cache_budget.hpp"

#include <cinttypes>

namespace quire {

Status CacheBudget::take(uint64_t bytes) {
  if (bytes > available_bytes()) {
    return make_error(Code::out_of_pages, "the cache budget of %" PRIu64 " bytes has %" PRIu64 " left, %" PRIu64 " are needed", limit_bytes_,
                      available_bytes(), bytes);
  }
  used_bytes_ += bytes;
  return {};
}

}  // namespace quire
