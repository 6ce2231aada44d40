#include "cache/kv_cache.hpp"

#include <algorithm>
#include <cinttypes>

#include "cache/kv_cache_state.hpp"

namespace quire {
namespace {

Error unknown_sequence(SeqId seq) {
  return make_error(Code::invalid_argument, "sequence %u (generation %u) does not exist in this cache", seq.index, seq.generation);
}

SlabSource device_slabs(Device& device) {
  return [&device](uint64_t size_bytes) -> Result<Slab> {
    QUIRE_ASSIGN(Buffer buffer, device.create_buffer(size_bytes, BufferUse::device, "cache slab"));
    const uint64_t address = buffer.address();
    return Slab{std::move(buffer), address};
  };
}

}  // namespace

Timeline* KvCache::State::find(SeqId seq) {
  if (seq.index >= sequences.size()) return nullptr;
  Timeline& timeline = sequences[seq.index];
  return timeline.live && timeline.generation == seq.generation ? &timeline : nullptr;
}

const Timeline* KvCache::State::find(SeqId seq) const { return const_cast<State*>(this)->find(seq); }

SeqId KvCache::State::add_timeline() {
  const auto unused = std::find_if(sequences.begin(), sequences.end(), [](const Timeline& t) { return !t.live; });
  const auto index = static_cast<uint32_t>(unused - sequences.begin());
  if (unused == sequences.end()) sequences.emplace_back();
  Timeline& timeline = sequences[index];
  timeline.live = true;
  ++timeline.generation;
  timeline.groups.resize(groups.size());
  return {index, timeline.generation};
}

Result<uint32_t> KvCache::State::pool_index(uint32_t group, PageFormats formats) {
  GroupPools& of_group = pools[group];
  QUIRE_ASSIGN(const uint32_t bytes, checked_page_bytes(of_group.group.page_shape(), formats));
  for (uint32_t i = 0; i < of_group.pools.size(); ++i) {
    if (of_group.pools[i]->page_bytes() == bytes) return i;
  }
  const uint64_t slab_bytes = std::min(options.slab_bytes, device.limits().max_buffer_bytes);
  of_group.pools.push_back(std::make_unique<PagePool>(device_slabs(device), budget, bytes, slab_bytes));
  return static_cast<uint32_t>(of_group.pools.size() - 1);
}

Status KvCache::State::set_formats(Timeline& timeline, std::span<const PageFormats> formats) {
  std::vector<uint32_t> indices;
  for (uint32_t g = 0; g < formats.size(); ++g) {
    QUIRE_ASSIGN(const uint32_t index, pool_index(g, formats[g]));
    indices.push_back(index);
  }
  for (uint32_t g = 0; g < formats.size(); ++g) {
    timeline.groups[g].formats = formats[g];
    timeline.groups[g].pool = indices[g];
  }
  return {};
}

Status KvCache::State::check_prefix(const Timeline& timeline, uint32_t length) const {
  if (timeline.reserving) return make_error(Code::busy, "the sequence is between reserve and commit");
  if (length > timeline.length) {
    return make_error(Code::invalid_argument, "%u slots are asked for, the sequence has %u", length, timeline.length);
  }
  return check_window_prefix(timeline, length);
}

Status KvCache::State::check_window_prefix(const Timeline& timeline, uint32_t length) const {
  for (uint32_t g = 0; g < groups.size(); ++g) {
    const uint32_t needed = first_held_page(groups[g], length);
    const uint32_t held = first_held_page(groups[g], timeline.length);
    if (needed < held && held_pages(groups[g], length) > 0) {
      return make_error(Code::invalid_argument, "a length of %u needs pages from %u on in group %u, whose window of %u slots left pages from %u on",
                        length, needed, g, groups[g].window, held);
    }
  }
  return {};
}

void KvCache::State::release(uint32_t group, std::span<const TablePage> entries, uint64_t timeline_value) {
  for (const TablePage& entry : entries) {
    if (entry.page != PageId::none) pool_of(group, entry).release(entry.page, timeline_value);
  }
  reachable_stale = true;
}

KvCache::KvCache(std::unique_ptr<State> state) : state_(std::move(state)) {}
KvCache::KvCache(KvCache&&) noexcept = default;
KvCache& KvCache::operator=(KvCache&&) noexcept = default;
KvCache::~KvCache() = default;

Result<KvCache> KvCache::create(Device& device, std::vector<CacheGroup> groups, CacheBudget& budget, const KvCacheOptions& options) {
  if (groups.empty()) return make_error(Code::invalid_argument, "a cache needs at least one group");
  for (const CacheGroup& group : groups) {
    QUIRE_TRY(check_cache_group(group));
    QUIRE_ASSIGN(const uint32_t bytes, checked_page_bytes(group.page_shape(), kWidestPageFormats));
    if (bytes > device.limits().max_buffer_bytes) {
      return make_error(Code::unsupported, "a page of %u bytes is larger than the device's largest buffer of %" PRIu64 " bytes", bytes,
                        device.limits().max_buffer_bytes);
    }
  }
  auto state = std::make_unique<State>(device, budget, options);
  for (const CacheGroup& group : groups) state->pools.push_back(GroupPools{group, {}});
  state->groups = std::move(groups);
  return KvCache(std::move(state));
}

std::span<const CacheGroup> KvCache::groups() const { return state_->groups; }

Result<SeqId> KvCache::create_sequence(std::span<const PageFormats> formats) {
  if (formats.size() != state_->groups.size()) {
    return make_error(Code::invalid_argument, "formats for %zu groups, the cache has %zu", formats.size(), state_->groups.size());
  }
  const SeqId seq = state_->add_timeline();
  Timeline& timeline = *state_->find(seq);
  if (Status status = state_->set_formats(timeline, formats); !status) {
    timeline.live = false;
    return std::move(status).error();
  }
  return seq;
}

Status KvCache::set_formats(SeqId seq, std::span<const PageFormats> formats) {
  Timeline* timeline = state_->find(seq);
  if (timeline == nullptr) return unknown_sequence(seq);
  if (formats.size() != state_->groups.size()) {
    return make_error(Code::invalid_argument, "formats for %zu groups, the cache has %zu", formats.size(), state_->groups.size());
  }
  return state_->set_formats(*timeline, formats);
}

Result<SeqId> KvCache::fork(SeqId parent, uint32_t length) {
  const Timeline* source = state_->find(parent);
  if (source == nullptr) return unknown_sequence(parent);
  QUIRE_TRY(state_->check_prefix(*source, length));
  const SeqId seq = state_->add_timeline();
  source = state_->find(parent);  // the array may have moved
  Timeline& timeline = *state_->find(seq);
  timeline.length = length;
  for (uint32_t g = 0; g < state_->groups.size(); ++g) {
    const GroupTimeline& from = source->groups[g];
    GroupTimeline& to = timeline.groups[g];
    to.formats = from.formats;
    to.pool = from.pool;
    const uint32_t first = first_held_page(state_->groups[g], length);
    const uint32_t count = page_count(state_->groups[g], length);
    for (uint32_t i = 0; i < count; ++i) {
      const TablePage& entry = i < first ? TablePage{} : from.table.pages()[i];
      if (entry.page != PageId::none) state_->pool_of(g, entry).share(entry.page);
      to.table.push_back(entry);
    }
  }
  return seq;
}

void KvCache::free_sequence(SeqId seq, uint64_t timeline_value) {
  Timeline* timeline = state_->find(seq);
  if (timeline == nullptr) return;
  for (uint32_t g = 0; g < state_->groups.size(); ++g) {
    const GroupTimeline& of_group = timeline->groups[g];
    state_->release(g, of_group.table.pages(), timeline_value);
    if (of_group.original) state_->release(g, {&*of_group.original, 1}, timeline_value);
  }
  *timeline = Timeline{.live = false, .reserving = false, .generation = timeline->generation, .length = 0, .reserved = 0, .groups = {}};
}

void KvCache::commit(SeqId seq, uint32_t count, uint64_t timeline_value) {
  Timeline* timeline = state_->find(seq);
  if (timeline == nullptr || !timeline->reserving) return;
  const uint32_t length = timeline->length + std::min(count, timeline->reserved);
  for (uint32_t g = 0; g < state_->groups.size(); ++g) {
    GroupTimeline& of_group = timeline->groups[g];
    PageTable& table = of_group.table;
    const CacheGroup& group = state_->groups[g];
    if (of_group.original) state_->release(g, {&*of_group.original, 1}, timeline_value);
    of_group.original.reset();
    const uint32_t kept = page_count(group, length);
    state_->release(g, table.pages().subspan(kept), timeline_value);
    table.shrink(kept);
    const uint32_t leaving = std::min(first_held_page(group, length), kept);
    for (uint32_t i = first_held_page(group, timeline->length); i < leaving; ++i) {
      state_->release(g, table.pages().subspan(i, 1), timeline_value);
      table.drop(i);
    }
  }
  timeline->length = length;
  timeline->reserved = 0;
  timeline->reserving = false;
}

void KvCache::cancel(SeqId seq, uint64_t timeline_value) {
  Timeline* timeline = state_->find(seq);
  if (timeline == nullptr || !timeline->reserving) return;
  for (uint32_t g = 0; g < state_->groups.size(); ++g) {
    GroupTimeline& of_group = timeline->groups[g];
    PageTable& table = of_group.table;
    const uint32_t kept = page_count(state_->groups[g], timeline->length);
    state_->release(g, table.pages().subspan(kept), timeline_value);
    table.shrink(kept);
    if (of_group.original) {
      state_->release(g, table.pages().subspan(kept - 1, 1), timeline_value);
      table.replace(kept - 1, *of_group.original);
      of_group.original.reset();
    }
    table.forget_uploads();
  }
  timeline->reserved = 0;
  timeline->reserving = false;
}

Status KvCache::truncate(SeqId seq, uint32_t length, uint64_t timeline_value) {
  Timeline* timeline = state_->find(seq);
  if (timeline == nullptr) return unknown_sequence(seq);
  QUIRE_TRY(state_->check_prefix(*timeline, length));
  for (uint32_t g = 0; g < state_->groups.size(); ++g) {
    PageTable& table = timeline->groups[g].table;
    const uint32_t kept = page_count(state_->groups[g], length);
    state_->release(g, table.pages().subspan(kept), timeline_value);
    table.shrink(kept);
  }
  timeline->length = length;
  return {};
}

bool KvCache::holds_prefix(SeqId seq, uint32_t length) const {
  const Timeline* timeline = state_->find(seq);
  return timeline != nullptr && length <= timeline->length && state_->check_window_prefix(*timeline, length).ok();
}

uint32_t KvCache::length(SeqId seq) const {
  const Timeline* timeline = state_->find(seq);
  return timeline == nullptr ? 0 : timeline->length;
}

Status KvCache::upload_tables(SeqId seq, Encoder& encoder) {
  Timeline* timeline = state_->find(seq);
  if (timeline == nullptr) return unknown_sequence(seq);
  for (GroupTimeline& of_group : timeline->groups) {
    QUIRE_ASSIGN(Buffer grown, of_group.table.grown_buffer(state_->device, of_group.table.size()));
    if (grown) state_->reachable_stale = true;
    of_group.table.adopt(std::move(grown));
    QUIRE_TRY(of_group.table.upload(encoder));
  }
  return {};
}

SequenceInfo KvCache::sequence_info(SeqId seq, uint32_t group) const {
  const Timeline* timeline = state_->find(seq);
  if (timeline == nullptr || group >= timeline->groups.size()) return {};
  return timeline->groups[group].table.sequence_info();
}

std::span<const TablePage> KvCache::pages(SeqId seq, uint32_t group) const {
  const Timeline* timeline = state_->find(seq);
  if (timeline == nullptr || group >= timeline->groups.size()) return {};
  return timeline->groups[group].table.pages();
}

BufferSlice KvCache::page_slice(uint32_t group, const TablePage& entry) const { return state_->pool_of(group, entry).slice(entry.page); }

std::span<const BufferSlice> KvCache::slabs() const {
  if (state_->reachable_stale) {
    state_->reachable.clear();
    for (const GroupPools& of_group : state_->pools) {
      for (const std::unique_ptr<PagePool>& pool : of_group.pools) pool->append_slabs(state_->reachable);
    }
    for (const Timeline& timeline : state_->sequences) {
      for (const GroupTimeline& of_group : timeline.groups) {
        if (of_group.table.buffer_bytes() > 0) state_->reachable.push_back(of_group.table.buffer_slice());
      }
    }
    state_->reachable_stale = false;
  }
  return state_->reachable;
}

void KvCache::collect(uint64_t completed_value) {
  for (GroupPools& of_group : state_->pools) {
    for (std::unique_ptr<PagePool>& pool : of_group.pools) pool->collect(completed_value);
  }
  state_->reachable_stale = true;
}

}  // namespace quire
