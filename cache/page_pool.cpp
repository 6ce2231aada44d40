#include "cache/page_pool.hpp"

#include <algorithm>
#include <bit>
#include <cinttypes>

namespace quire {
namespace {

uint32_t index_of(PageId id) { return static_cast<uint32_t>(id); }

constexpr uint64_t kBudgetSlabs = 16;
constexpr uint64_t kMaxSlabPages = uint64_t{1} << 20;  // page ids of 4096 slabs fit 32 bits

uint32_t full_slab_pages(uint64_t slab_bytes, uint64_t budget_bytes, uint32_t page_bytes) {
  return static_cast<uint32_t>(std::clamp<uint64_t>(std::min(slab_bytes, budget_bytes / kBudgetSlabs) / page_bytes, 1, kMaxSlabPages));
}

}  // namespace

PagePool::PagePool(SlabSource source, CacheBudget& budget, uint32_t page_bytes, uint64_t slab_bytes)
    : source_(std::move(source)),
      budget_(budget),
      page_bytes_(page_bytes),
      pages_per_slab_(full_slab_pages(slab_bytes, budget.limit_bytes(), page_bytes)) {}

PagePool::~PagePool() { budget_.give_back(memory().slab_bytes); }

PagePool::Page& PagePool::page(PageId id) { return slabs_[index_of(id) / pages_per_slab_].pages[index_of(id) % pages_per_slab_]; }
const PagePool::Page& PagePool::page(PageId id) const { return slab_of(id).pages[index_of(id) % pages_per_slab_]; }

Result<uint32_t> PagePool::add_slab() {
  const auto page_count = static_cast<uint32_t>(std::clamp<uint64_t>(budget_.available_bytes() / 2 / page_bytes_, 1, pages_per_slab_));
  const uint64_t bytes = uint64_t{page_bytes_} * page_count;
  QUIRE_TRY(budget_.take(bytes));
  Result<Slab> slab = source_(bytes);
  if (!slab.ok()) {
    budget_.give_back(bytes);
    return std::move(slab).error();
  }
  const auto hole = std::find_if(slabs_.begin(), slabs_.end(), [](const SlabPages& s) { return s.pages.empty(); });
  const auto slab_index = static_cast<uint32_t>(hole - slabs_.begin());
  if (hole == slabs_.end()) slabs_.emplace_back();
  SlabPages& added = slabs_[slab_index];
  added.slab = std::move(*slab);
  added.pages.assign(page_count, Page{});
  added.free_bits.assign((page_count + 63) / 64, ~uint64_t{0});
  if (page_count % 64 != 0) added.free_bits.back() = (uint64_t{1} << page_count % 64) - 1;
  added.free_count = page_count;
  return slab_index;
}

Result<PageId> PagePool::take() {
  const auto with_free = std::find_if(slabs_.begin(), slabs_.end(), [](const SlabPages& s) { return s.free_count > 0; });
  auto slab_index = static_cast<uint32_t>(with_free - slabs_.begin());
  if (with_free == slabs_.end()) {
    QUIRE_ASSIGN(slab_index, add_slab());
  }
  SlabPages& slab = slabs_[slab_index];
  const auto word = std::find_if(slab.free_bits.begin(), slab.free_bits.end(), [](uint64_t bits) { return bits != 0; });
  const auto in_slab = static_cast<uint32_t>((word - slab.free_bits.begin()) * 64 + std::countr_zero(*word));
  *word &= *word - 1;
  --slab.free_count;
  ++in_use_count_;
  slab.pages[in_slab] = Page{PageState::in_use, 1, 0};
  return static_cast<PageId>(slab_index * pages_per_slab_ + in_slab);
}

void PagePool::share(PageId id) { ++page(id).references; }

void PagePool::release(PageId id, uint64_t timeline_value) {
  Page& p = page(id);
  p.timeline_value = std::max(p.timeline_value, timeline_value);
  if (--p.references > 0) return;
  --in_use_count_;
  if (p.timeline_value <= completed_value_) {
    set_free(id);
    remove_slab_if_empty(index_of(id) / pages_per_slab_);
  } else {
    p.state = PageState::retired;
    retired_.push_back(id);
  }
}

void PagePool::collect(uint64_t completed_value) {
  completed_value_ = std::max(completed_value_, completed_value);
  std::erase_if(retired_, [this](PageId id) {
    if (page(id).timeline_value > completed_value_) return false;
    set_free(id);
    return true;
  });
  for (uint32_t i = 0; i < slabs_.size(); ++i) remove_slab_if_empty(i);
}

void PagePool::set_free(PageId id) {
  SlabPages& slab = slabs_[index_of(id) / pages_per_slab_];
  const uint32_t in_slab = index_of(id) % pages_per_slab_;
  slab.pages[in_slab] = Page{};
  slab.free_bits[in_slab / 64] |= uint64_t{1} << in_slab % 64;
  ++slab.free_count;
}

void PagePool::remove_slab_if_empty(uint32_t slab_index) {
  SlabPages& slab = slabs_[slab_index];
  if (slab.pages.empty() || slab.free_count < slab.pages.size()) return;
  budget_.give_back(uint64_t{page_bytes_} * slab.pages.size());
  slab = SlabPages{};
  while (!slabs_.empty() && slabs_.back().pages.empty()) slabs_.pop_back();
}

uint32_t PagePool::references(PageId id) const { return page(id).references; }

uint64_t PagePool::address(PageId id) const {
  return slab_of(id).slab.address + uint64_t{page_bytes_} * (index_of(id) % pages_per_slab_);
}

BufferSlice PagePool::slice(PageId id) const {
  return slab_of(id).slab.buffer.slice(uint64_t{page_bytes_} * (index_of(id) % pages_per_slab_), page_bytes_);
}

PoolMemory PagePool::memory() const {
  PoolMemory memory;
  memory.pages_in_use = in_use_count_;
  memory.pages_retired = static_cast<uint32_t>(retired_.size());
  for (const SlabPages& slab : slabs_) {
    memory.slab_bytes += uint64_t{page_bytes_} * slab.pages.size();
    memory.slab_count += slab.pages.empty() ? 0u : 1u;
    memory.pages_free += slab.free_count;
  }
  return memory;
}

void PagePool::append_slabs(std::vector<BufferSlice>& slices) const {
  for (const SlabPages& slab : slabs_) {
    if (slab.slab.buffer) slices.push_back(slab.slab.buffer.slice());
  }
}

uint32_t PagePool::id_bound() const { return static_cast<uint32_t>(slabs_.size()) * pages_per_slab_; }

Status PagePool::check(std::span<const uint32_t> expected_references) const {
  if (expected_references.size() != id_bound()) {
    return make_error(Code::internal, "%zu expected references for %u page ids", expected_references.size(), id_bound());
  }
  uint32_t in_use = 0;
  uint32_t retired = 0;
  for (uint32_t i = 0; i < id_bound(); ++i) {
    const SlabPages& slab = slabs_[i / pages_per_slab_];
    const uint32_t in_slab = i % pages_per_slab_;
    if (in_slab >= slab.pages.size()) {
      if (expected_references[i] != 0) return make_error(Code::internal, "page %u is in a table and in no slab", i);
      continue;
    }
    const Page& p = slab.pages[in_slab];
    const bool marked_free = (slab.free_bits[in_slab / 64] >> in_slab % 64 & 1) != 0;
    if (marked_free != (p.state == PageState::free)) return make_error(Code::internal, "page %u is free and not free", i);
    if (p.references != expected_references[i]) {
      return make_error(Code::internal, "page %u counts %u references, %u holders name it", i, p.references, expected_references[i]);
    }
    if ((p.references > 0) != (p.state == PageState::in_use)) {
      return make_error(Code::internal, "page %u has %u references in state %d", i, p.references, static_cast<int>(p.state));
    }
    in_use += p.state == PageState::in_use ? 1u : 0u;
    retired += p.state == PageState::retired ? 1u : 0u;
  }
  for (size_t i = 0; i < retired_.size(); ++i) {
    if (index_of(retired_[i]) >= id_bound() || page(retired_[i]).state != PageState::retired) {
      return make_error(Code::internal, "page %u is in the list of retired pages and is not retired", index_of(retired_[i]));
    }
    if (page(retired_[i]).timeline_value <= completed_value_) {
      return make_error(Code::internal, "page %u is still retired at value %" PRIu64 ", though %" PRIu64 " is complete", index_of(retired_[i]),
                        page(retired_[i]).timeline_value, completed_value_);
    }
  }
  // Every listed page is retired, and there are as many: so none is listed twice unless one is missing, which the two counts then show.
  uint32_t free_pages = 0;
  uint32_t total = 0;
  for (size_t s = 0; s < slabs_.size(); ++s) {
    uint32_t marked = 0;
    for (const uint64_t bits : slabs_[s].free_bits) marked += static_cast<uint32_t>(std::popcount(bits));
    if (marked != slabs_[s].free_count) return make_error(Code::internal, "slab %zu counts %u free pages, %u are", s, slabs_[s].free_count, marked);
    if (marked == slabs_[s].pages.size() && marked != 0) return make_error(Code::internal, "slab %zu is empty and was not returned", s);
    free_pages += marked;
    total += static_cast<uint32_t>(slabs_[s].pages.size());
  }
  if (in_use != in_use_count_ || retired != retired_.size() || free_pages + in_use + retired != total) {
    return make_error(Code::internal, "%u pages: %u free, %u in use (counted %u), %u retired (listed %zu)", total, free_pages, in_use, in_use_count_,
                      retired, retired_.size());
  }
  return {};
}

Status page_copy(const PagePool& pool, PageId source, PageId destination, Encoder& encoder) {
  return encoder.copy(pool.slice(source), pool.slice(destination));
}

}  // namespace quire
