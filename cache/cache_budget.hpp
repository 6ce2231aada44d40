// CacheBudget: the one bound, in bytes, on all slabs of an engine: over groups, formats, models and devices.
#pragma once

#include <cstdint>

#include "engine/base/result.hpp"

namespace quire {

/// Counts slabs, that is what is allocated; tables and other buffers are not part of it. Outlives every cache that uses it.
/// Used by one thread at a time.
class CacheBudget {
 public:
  explicit CacheBudget(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  CacheBudget(const CacheBudget&) = delete;
  CacheBudget& operator=(const CacheBudget&) = delete;

  uint64_t limit_bytes() const { return limit_bytes_; }
  uint64_t used_bytes() const { return used_bytes_; }
  uint64_t available_bytes() const { return limit_bytes_ - used_bytes_; }

  /// On error: out_of_pages; unchanged.
  Status take(uint64_t bytes);
  /// Requires: `bytes` were taken.
  void give_back(uint64_t bytes) { used_bytes_ -= bytes; }

 private:
  uint64_t limit_bytes_ = 0;
  uint64_t used_bytes_ = 0;
};

}  // namespace quire
