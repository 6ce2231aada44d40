// KvCache::reserve: everything that can fail is done aside first, so that a failure leaves the cache as it was.
#include <cinttypes>
#include <utility>

#include "cache/kv_cache_state.hpp"
#include "engine/base/checked.hpp"

namespace quire {
namespace {

Result<TablePage> take_page(PagePool& pool, uint32_t pool_index, PageFormats formats) {
  QUIRE_ASSIGN(const PageId page, pool.take());
  return TablePage{page, pool_index, formats, pool.address(page)};
}

}  // namespace

Status KvCache::State::take_pages(const Timeline& timeline, uint32_t group, uint32_t new_length, Reservation& reservation) {
  const GroupTimeline& of_group = timeline.groups[group];
  const uint32_t count = page_count(groups[group], new_length);
  QUIRE_ASSIGN(reservation.table_buffer, of_group.table.grown_buffer(device, count));
  if (timeline.length % groups[group].tokens_per_page != 0 && new_length > timeline.length) {
    const TablePage& last = of_group.table.pages().back();
    PagePool& pool = pool_of(group, last);
    if (pool.references(last.page) > 1) {
      QUIRE_ASSIGN(reservation.copy, take_page(pool, last.pool, last.formats));
    }
  }
  for (uint32_t i = of_group.table.size(); i < count; ++i) {
    QUIRE_ASSIGN(const TablePage added, take_page(*pools[group].pools[of_group.pool], of_group.pool, of_group.formats));
    reservation.added.push_back(added);
  }
  return {};
}

Status KvCache::State::record_contents(const Timeline& timeline, uint32_t group, const Reservation& reservation, Encoder& encoder) const {
  if (options.page_fill != PageFill::as_left) {
    const uint32_t word = options.page_fill == PageFill::zero ? 0 : kPoisonWord;
    for (const TablePage& entry : reservation.added) QUIRE_TRY(encoder.fill(pool_of(group, entry).slice(entry.page), word));
  }
  if (reservation.copy) {
    const TablePage& last = timeline.groups[group].table.pages().back();
    QUIRE_TRY(page_copy(pool_of(group, last), last.page, reservation.copy->page, encoder));
  }
  return {};
}

Status KvCache::reserve(SeqId seq, uint32_t count, Encoder& encoder) {
  Timeline* timeline = state_->find(seq);
  if (timeline == nullptr) {
    return make_error(Code::invalid_argument, "sequence %u (generation %u) does not exist in this cache", seq.index, seq.generation);
  }
  if (timeline->reserving) return make_error(Code::busy, "the sequence is between reserve and commit");
  const std::optional<uint32_t> new_length = checked_add(timeline->length, count);
  if (!new_length) return make_error(Code::invalid_argument, "%u slots after %u do not fit 32 bits", count, timeline->length);

  std::vector<Reservation> reservations(state_->groups.size());
  Status status;
  for (uint32_t g = 0; g < reservations.size() && status; ++g) status = state_->take_pages(*timeline, g, *new_length, reservations[g]);
  for (uint32_t g = 0; g < reservations.size() && status; ++g) status = state_->record_contents(*timeline, g, reservations[g], encoder);
  if (!status) {
    for (uint32_t g = 0; g < reservations.size(); ++g) {
      state_->release(g, reservations[g].added, 0);
      if (reservations[g].copy) state_->release(g, {&*reservations[g].copy, 1}, 0);
    }
    return status;
  }

  for (uint32_t g = 0; g < reservations.size(); ++g) {
    GroupTimeline& of_group = timeline->groups[g];
    of_group.table.adopt(std::move(reservations[g].table_buffer));
    if (reservations[g].copy) {
      of_group.original = of_group.table.pages().back();
      of_group.table.replace(of_group.table.size() - 1, *reservations[g].copy);
    }
    for (const TablePage& entry : reservations[g].added) of_group.table.push_back(entry);
  }
  timeline->reserved = count;
  timeline->reserving = true;
  state_->reachable_stale = true;
  return {};
}

}  // namespace quire
