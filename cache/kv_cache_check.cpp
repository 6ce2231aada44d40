// KvCache::memory and KvCache::check: what is held, counted and recomputed. The invariants are listed in cache/README.md.
#include <cinttypes>

#include "cache/kv_cache_state.hpp"

namespace quire {
namespace {

/// References to each page of each pool of one group, from every holder.
using HolderCounts = std::vector<std::vector<uint32_t>>;

Status count_holder(const GroupPools& pools, const TablePage& entry, HolderCounts& counts) {
  if (entry.pool >= counts.size() || static_cast<uint32_t>(entry.page) >= counts[entry.pool].size()) {
    return make_error(Code::internal, "a table names page %u of pool %u, which does not exist", static_cast<uint32_t>(entry.page), entry.pool);
  }
  const PagePool& pool = *pools.pools[entry.pool];
  ++counts[entry.pool][static_cast<uint32_t>(entry.page)];
  if (pool.references(entry.page) == 0) {
    return make_error(Code::internal, "a table names page %u, which is not in use", static_cast<uint32_t>(entry.page));
  }
  if (pool.page_bytes() != page_bytes(pools.group.page_shape(), entry.formats.word())) {
    return make_error(Code::internal, "page %u of %u bytes is in a table with formats of another size", static_cast<uint32_t>(entry.page),
                      pool.page_bytes());
  }
  if (entry.address != pool.address(entry.page)) {
    return make_error(Code::internal, "page %u is in a table with another page's address", static_cast<uint32_t>(entry.page));
  }
  return {};
}

Status check_window(const CacheGroup& group, const Timeline& timeline) {
  if (group.window == 0) return {};
  const uint32_t bound = most_held_pages(group);
  const uint32_t held = held_pages(group, timeline.length);
  if (held > bound) return make_error(Code::internal, "a window of %u slots holds %u pages, %u are allowed", group.window, held, bound);
  return {};
}

/// One sequence's part in one group: which entries have a page follows from length, reservation and window alone.
Status check_timeline(const GroupPools& pools, const Timeline& timeline, const GroupTimeline& of_group, HolderCounts& counts) {
  const CacheGroup& group = pools.group;
  QUIRE_TRY(of_group.table.check());
  QUIRE_TRY(check_window(group, timeline));
  const std::span<const TablePage> pages = of_group.table.pages();
  if (pages.size() != page_count(group, timeline.length + timeline.reserved)) {
    return make_error(Code::internal, "%u slots and %u reserved have %zu table entries", timeline.length, timeline.reserved, pages.size());
  }
  const uint32_t first = first_held_page(group, timeline.length);
  for (uint32_t i = 0; i < pages.size(); ++i) {
    if ((pages[i].page == PageId::none) != (i < first)) {
      return make_error(Code::internal, "table entry %u of a sequence of %u slots, with pages held from %u on, is %s", i, timeline.length, first,
                        i < first ? "kept" : "missing");
    }
    if (pages[i].page != PageId::none) QUIRE_TRY(count_holder(pools, pages[i], counts));
  }
  if (of_group.original) {
    if (!timeline.reserving) return make_error(Code::internal, "a copied page's original is held without a reservation");
    QUIRE_TRY(count_holder(pools, *of_group.original, counts));
  }
  // Slots [length, length + reserved) will be written: their pages must belong to this sequence alone.
  if (timeline.reserved > 0) {
    for (uint32_t i = timeline.length / group.tokens_per_page; i < pages.size(); ++i) {
      if (pools.pools[pages[i].pool]->references(pages[i].page) != 1) return make_error(Code::internal, "table entry %u is shared and reserved", i);
    }
  }
  return {};
}

}  // namespace

CacheMemory KvCache::memory() const {
  CacheMemory memory;
  for (const GroupPools& of_group : state_->pools) {
    GroupMemory group;
    for (const std::unique_ptr<PagePool>& pool : of_group.pools) {
      const PoolMemory part = pool->memory();
      group.pages.slab_bytes += part.slab_bytes;
      group.pages.slab_count += part.slab_count;
      group.pages.pages_in_use += part.pages_in_use;
      group.pages.pages_free += part.pages_free;
      group.pages.pages_retired += part.pages_retired;
      group.in_use_bytes += uint64_t{part.pages_in_use} * pool->page_bytes();
    }
    memory.slab_bytes += group.pages.slab_bytes;
    memory.in_use_bytes += group.in_use_bytes;
    memory.pages_in_use += group.pages.pages_in_use;
    memory.groups.push_back(group);
  }
  for (const Timeline& timeline : state_->sequences) {
    memory.sequence_count += timeline.live ? 1u : 0u;
    for (const GroupTimeline& of_group : timeline.groups) memory.table_bytes += of_group.table.buffer_bytes();
  }
  return memory;
}

HeldPages KvCache::held(SeqId seq, uint32_t group) const {
  HeldPages held;
  for (const TablePage& entry : pages(seq, group)) {
    if (entry.page == PageId::none) continue;
    ++held.count;
    held.size_bytes += state_->pool_of(group, entry).page_bytes();
  }
  return held;
}

Status KvCache::check() const {
  uint64_t slab_bytes = 0;
  for (uint32_t g = 0; g < state_->groups.size(); ++g) {
    const GroupPools& pools = state_->pools[g];
    HolderCounts counts;
    for (const std::unique_ptr<PagePool>& pool : pools.pools) counts.emplace_back(pool->id_bound(), 0u);
    for (const Timeline& timeline : state_->sequences) {
      if (timeline.live) QUIRE_TRY(check_timeline(pools, timeline, timeline.groups[g], counts));
    }
    for (size_t p = 0; p < counts.size(); ++p) {
      QUIRE_TRY(pools.pools[p]->check(counts[p]));
      slab_bytes += pools.pools[p]->memory().slab_bytes;
    }
  }
  for (const Timeline& timeline : state_->sequences) {
    if (!timeline.live && !timeline.groups.empty()) return make_error(Code::internal, "a freed sequence still has tables");
  }
  if (slab_bytes > state_->budget.used_bytes() || state_->budget.used_bytes() > state_->budget.limit_bytes()) {
    return make_error(Code::internal, "%" PRIu64 " bytes in slabs, %" PRIu64 " counted by a budget of %" PRIu64, slab_bytes,
                      state_->budget.used_bytes(), state_->budget.limit_bytes());
  }
  return {};
}

}  // namespace quire
