// What a KvCache consists of. For kv_cache.cpp and kv_cache_check.cpp only.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cache/kv_cache.hpp"

namespace quire {

/// A group with one pool for each page size that was asked for: formats of equal size share one.
struct GroupPools {
  CacheGroup group;
  std::vector<std::unique_ptr<PagePool>> pools;
};

/// A sequence's part in one group.
struct GroupTimeline {
  PageTable table;                     ///< page_count(length + reserved) entries; those before first_held_page(length) are empty
  PageFormats formats;                 ///< of new pages
  uint32_t pool = 0;                   ///< of new pages
  std::optional<TablePage> original;   ///< between reserve and commit: the shared last page that a copy took the place of, still referenced
};

struct Timeline {
  bool live = false;
  bool reserving = false;              ///< between reserve and commit or cancel
  uint32_t generation = 0;
  uint32_t length = 0;
  uint32_t reserved = 0;
  std::vector<GroupTimeline> groups;
};

/// What one group needs for reserved slots, before it becomes part of the sequence.
struct Reservation {
  Buffer table_buffer;                 ///< empty: the present one has room
  std::optional<TablePage> copy;       ///< takes the place of the shared last page
  std::vector<TablePage> added;
};

struct KvCache::State {
  State(Device& device_in, CacheBudget& budget_in, const KvCacheOptions& options_in) : device(device_in), budget(budget_in), options(options_in) {}

  Device& device;
  CacheBudget& budget;
  KvCacheOptions options;
  std::vector<CacheGroup> groups;
  std::vector<GroupPools> pools;       ///< one a group
  std::vector<Timeline> sequences;
  mutable std::vector<BufferSlice> reachable;
  mutable bool reachable_stale = false;

  Timeline* find(SeqId seq);
  const Timeline* find(SeqId seq) const;
  SeqId add_timeline();
  PagePool& pool_of(uint32_t group, const TablePage& entry) { return *pools[group].pools[entry.pool]; }
  const PagePool& pool_of(uint32_t group, const TablePage& entry) const { return *pools[group].pools[entry.pool]; }
  /// Index of the group's pool for pages of these formats; made if there is none yet. Takes no device memory.
  Result<uint32_t> pool_index(uint32_t group, PageFormats formats);
  Status set_formats(Timeline& timeline, std::span<const PageFormats> formats);
  /// The first `length` slots must be held in every group. On error: invalid_argument, busy.
  Status check_prefix(const Timeline& timeline, uint32_t length) const;
  /// The part of it that is about windows. On error: invalid_argument.
  Status check_window_prefix(const Timeline& timeline, uint32_t length) const;
  /// Takes what `group` needs for `new_length` slots. On error `reservation` holds what was taken before.
  Status take_pages(const Timeline& timeline, uint32_t group, uint32_t new_length, Reservation& reservation);
  /// Records what the taken pages hold before the step writes to them.
  Status record_contents(const Timeline& timeline, uint32_t group, const Reservation& reservation, Encoder& encoder) const;
  /// Releases the pages of some entries of a table; the entries stay as they are.
  void release(uint32_t group, std::span<const TablePage> entries, uint64_t timeline_value);
};

}  // namespace quire
