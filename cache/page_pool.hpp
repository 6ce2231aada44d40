// PagePool: pages of one byte size, in slabs that are taken from the device when needed and returned when empty.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "cache/cache_budget.hpp"
#include "engine/base/result.hpp"
#include "engine/device/buffer.hpp"
#include "engine/device/encoder.hpp"

namespace quire {

/// A page of one pool.
enum class PageId : uint32_t { none = 0xffffffffu };

/// A device buffer that holds pages. Destroying it returns the memory.
struct Slab {
  Buffer buffer;               ///< empty in tests without a device
  uint64_t address = 0;        ///< of its first byte
};

/// Where slabs come from. On error the pool passes the code on and is unchanged.
using SlabSource = std::function<Result<Slab>(uint64_t size_bytes)>;

struct PoolMemory {
  uint64_t slab_bytes = 0;
  uint32_t slab_count = 0;
  uint32_t pages_in_use = 0;   ///< named by at least one table
  uint32_t pages_free = 0;
  uint32_t pages_retired = 0;  ///< given back, and perhaps still read by the device
};

/// Host bookkeeping: no member touches the contents of a page. Deterministic: a page is taken from the lowest slab that has a free one, and there
/// the lowest; so the last slabs empty first. A slab is returned as soon as all of its pages are free: no empty one is kept, because the budget
/// is shared with other pools.
/// A page is free, in use (references > 0) or retired (references 0, its timeline value not yet collected).
class PagePool {
 public:
  /// A slab holds as many whole pages as fit `slab_bytes`, a sixteenth of the budget and half of what the budget has left, but at least one: so no
  /// pool can starve the others of a small budget with a slab that it hardly uses.
  /// Requires: page_bytes > 0; `budget` outlives the pool.
  PagePool(SlabSource source, CacheBudget& budget, uint32_t page_bytes, uint64_t slab_bytes);
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;
  ~PagePool();

  /// A page with one reference; its contents are whatever they were.
  /// On error: out_of_pages (the budget has no room for a page more), or the slab source's; nothing changed.
  Result<PageId> take();
  /// Requires: in use.
  void share(PageId page);
  /// Drops a reference. With the last one the page retires until the largest timeline value it was released with is collected (0: nothing recorded
  /// uses it, it is free at once). Requires: in use.
  void release(PageId page, uint64_t timeline_value);
  /// Frees the pages whose value is reached.
  void collect(uint64_t completed_value);

  uint32_t page_bytes() const { return page_bytes_; }
  uint32_t references(PageId page) const;
  uint64_t address(PageId page) const;
  /// Requires: the slab has a buffer.
  BufferSlice slice(PageId page) const;
  PoolMemory memory() const;
  /// Adds every slab.
  void append_slabs(std::vector<BufferSlice>& slices) const;

  /// One past the largest PageId that can exist now: the size of check()'s table.
  uint32_t id_bound() const;
  /// Recomputes every count from the pages. `expected_references[id]` is how many holders name the page. On error: internal.
  Status check(std::span<const uint32_t> expected_references) const;

 private:
  enum class PageState : uint8_t { free, in_use, retired };
  struct Page {
    PageState state = PageState::free;
    uint32_t references = 0;
    uint64_t timeline_value = 0;   ///< largest value of a release since it was taken
  };
  struct SlabPages {
    Slab slab;
    std::vector<Page> pages;       ///< empty: no slab at this index
    std::vector<uint64_t> free_bits;
    uint32_t free_count = 0;
  };
  Result<uint32_t> add_slab();
  void set_free(PageId page);
  void remove_slab_if_empty(uint32_t slab_index);
  Page& page(PageId id);
  const Page& page(PageId id) const;
  const SlabPages& slab_of(PageId id) const { return slabs_[static_cast<uint32_t>(id) / pages_per_slab_]; }

  SlabSource source_;
  CacheBudget& budget_;
  uint32_t page_bytes_ = 0;
  uint32_t pages_per_slab_ = 0;
  std::vector<SlabPages> slabs_;   ///< page id = slab index * pages_per_slab_ + index in the slab
  std::vector<PageId> retired_;
  uint32_t in_use_count_ = 0;
  uint64_t completed_value_ = 0;
};

/// page_copy: the whole of one page into another, as one transfer. Requires: both in use. On error: as Encoder::copy.
Status page_copy(const PagePool& pool, PageId source, PageId destination, Encoder& encoder);

}  // namespace quire
