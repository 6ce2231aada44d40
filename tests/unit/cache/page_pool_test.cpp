// PagePool without a device: slabs are numbers, an address is all that a page has.
#include "cache/page_pool.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace quire {
namespace {

constexpr uint32_t kPageBytes = 512;

/// Hands out addresses, fails the calls it was told to, counts.
struct FakeMemory {
  uint64_t next_address = 1 << 20;
  uint32_t calls = 0;
  uint32_t failing_call = 0;  ///< 0: none

  SlabSource source() {
    return [this](uint64_t size_bytes) -> Result<Slab> {
      if (++calls == failing_call) return make_error(Code::out_of_device_memory, "call %u was to fail", calls);
      Slab slab;
      slab.address = next_address;
      next_address += size_bytes + 4096;
      return slab;
    };
  }
};

std::vector<uint32_t> expected(const PagePool& pool, const std::vector<PageId>& holders) {
  std::vector<uint32_t> counts(pool.id_bound(), 0);
  for (const PageId id : holders) ++counts[static_cast<uint32_t>(id)];
  return counts;
}

bool same(const PoolMemory& a, const PoolMemory& b) {
  return a.slab_bytes == b.slab_bytes && a.slab_count == b.slab_count && a.pages_in_use == b.pages_in_use && a.pages_free == b.pages_free &&
         a.pages_retired == b.pages_retired;
}

std::vector<PageId> take(PagePool& pool, uint32_t count) {
  std::vector<PageId> pages;
  for (uint32_t i = 0; i < count; ++i) {
    Result<PageId> page = pool.take();
    REQUIRE(page.ok());
    pages.push_back(*page);
  }
  return pages;
}

}  // namespace

TEST_CASE("page_pool: taking past capacity returns out_of_pages and changes nothing") {
  FakeMemory memory;
  CacheBudget budget(10 * kPageBytes + 100);
  PagePool pool(memory.source(), budget, kPageBytes, 1 << 20);
  const std::vector<PageId> pages = take(pool, 10);
  const PoolMemory before = pool.memory();
  const uint32_t calls = memory.calls;
  CHECK(pool.take().code() == Code::out_of_pages);
  CHECK(same(before, pool.memory()));
  CHECK(memory.calls == calls);
  CHECK(budget.used_bytes() == 10 * kPageBytes);
  CHECK(pool.check(expected(pool, pages)).ok());
}

TEST_CASE("page_pool: a slab is returned as soon as its last page is free, and its bytes with it") {
  FakeMemory memory;
  CacheBudget budget(64 * 4 * kPageBytes);
  PagePool pool(memory.source(), budget, kPageBytes, 4 * kPageBytes);
  std::vector<PageId> pages = take(pool, 9);
  CHECK(pool.memory().slab_count == 3);
  pool.release(pages[8], 0);
  CHECK(pool.memory().slab_count == 2);
  for (const size_t i : {4u, 5u, 6u}) pool.release(pages[i], 3);
  pool.release(pages[7], 5);
  pool.collect(3);
  CHECK(pool.memory().slab_count == 2);   // page 7 is still retired
  pool.collect(5);
  CHECK(pool.memory().slab_count == 1);
  CHECK(budget.used_bytes() == 4 * kPageBytes);
  for (const size_t i : {0u, 1u, 2u, 3u}) pool.release(pages[i], 9);
  pool.collect(9);
  CHECK(pool.memory().slab_bytes == 0);
  CHECK(budget.used_bytes() == 0);
  CHECK(pool.id_bound() == 0);
}

TEST_CASE("page_pool: a retired page is not handed out before its timeline value is collected") {
  FakeMemory memory;
  CacheBudget budget(2 * kPageBytes);
  PagePool pool(memory.source(), budget, kPageBytes, 1 << 20);
  const std::vector<PageId> pages = take(pool, 2);
  pool.release(pages[0], 7);
  CHECK(pool.memory().pages_retired == 1);
  CHECK(pool.take().code() == Code::out_of_pages);
  pool.collect(6);
  CHECK(pool.take().code() == Code::out_of_pages);
  pool.collect(7);
  CHECK(pool.memory().pages_retired == 0);
  CHECK(pool.take().ok());
}

TEST_CASE("page_pool: a shared page retires with its last holder, until the largest value of them all") {
  FakeMemory memory;
  CacheBudget budget(64 * kPageBytes);
  PagePool pool(memory.source(), budget, kPageBytes, 1 << 20);
  const std::vector<PageId> pages = take(pool, 2);
  pool.share(pages[0]);
  CHECK(pool.references(pages[0]) == 2);
  pool.release(pages[0], 9);
  CHECK(pool.memory().pages_in_use == 2);
  pool.release(pages[0], 4);
  CHECK(pool.memory().pages_retired == 1);
  pool.collect(8);
  CHECK(pool.memory().pages_retired == 1);
  pool.collect(9);
  CHECK(pool.memory().pages_retired == 0);
  CHECK(pool.memory().pages_free == 3);
  pool.release(pages[1], 8);   // already complete: free at once
  CHECK(pool.memory().slab_count == 0);
}

TEST_CASE("page_pool: pages are taken from the lowest slab, lowest first") {
  FakeMemory memory;
  CacheBudget budget(1 << 20);
  PagePool pool(memory.source(), budget, kPageBytes, 4 * kPageBytes);
  const std::vector<PageId> pages = take(pool, 12);
  for (uint32_t i = 0; i < 12; ++i) CHECK(pages[i] == static_cast<PageId>(i));
  CHECK(pool.address(pages[5]) - pool.address(pages[4]) == kPageBytes);
  for (const size_t i : {9u, 2u, 6u, 1u}) pool.release(pages[i], 0);
  CHECK(*pool.take() == pages[1]);
  CHECK(*pool.take() == pages[2]);
  CHECK(*pool.take() == pages[6]);
  CHECK(*pool.take() == pages[9]);
  // A returned slab's place is taken by the next one.
  for (const size_t i : {4u, 5u, 6u, 7u}) pool.release(pages[i], 0);
  CHECK(pool.memory().slab_count == 2);
  CHECK(*pool.take() == static_cast<PageId>(4));
}

TEST_CASE("page_pool: a slab source that fails at any call leaves the pool and the budget as they were") {
  for (uint32_t failing = 1; failing <= 4; ++failing) {
    CAPTURE(failing);
    FakeMemory memory;
    memory.failing_call = failing;
    CacheBudget budget(1 << 20);
    PagePool pool(memory.source(), budget, kPageBytes, 2 * kPageBytes);
    const std::vector<PageId> pages = take(pool, 2 * (failing - 1));
    const PoolMemory before = pool.memory();
    CHECK(pool.take().code() == Code::out_of_device_memory);
    CHECK(same(before, pool.memory()));
    CHECK(budget.used_bytes() == before.slab_bytes);
    CHECK(pool.check(expected(pool, pages)).ok());
    CHECK(pool.take().ok());
  }
}

TEST_CASE("page_pool: a slab takes at most a sixteenth of the budget, and at most half of what is left") {
  FakeMemory memory;
  CacheBudget budget(64 * kPageBytes);
  PagePool first(memory.source(), budget, kPageBytes, uint64_t{128} << 20);
  PagePool second(memory.source(), budget, 2 * kPageBytes, uint64_t{128} << 20);
  uint32_t taken = static_cast<uint32_t>(take(first, 1).size());
  CHECK(first.memory().slab_bytes == 4 * kPageBytes);
  taken += static_cast<uint32_t>(take(first, 60).size());
  CHECK(budget.available_bytes() == 2 * kPageBytes);  // page 61 was in a slab of two
  const Result<PageId> page = second.take();
  REQUIRE(page.ok());
  second.release(*page, 0);
  // All that is left can still be used to the last page.
  while (first.take().ok()) ++taken;
  CHECK(taken == 64);
  CHECK(budget.available_bytes() == 0);
}

TEST_CASE("page_pool: destroying a pool gives its bytes back to the budget") {
  FakeMemory memory;
  CacheBudget budget(1 << 20);
  {
    PagePool pool(memory.source(), budget, kPageBytes, 4 * kPageBytes);
    const std::vector<PageId> pages = take(pool, 5);
    pool.release(pages[0], 3);
    CHECK(budget.used_bytes() == 8 * kPageBytes);
  }
  CHECK(budget.used_bytes() == 0);
}

TEST_CASE("page_pool: check finds holders that the reference counts do not know, and counts without holder") {
  FakeMemory memory;
  CacheBudget budget(1 << 20);
  PagePool pool(memory.source(), budget, kPageBytes, 4 * kPageBytes);
  const std::vector<PageId> pages = take(pool, 2);
  CHECK(pool.check(expected(pool, pages)).ok());
  CHECK(pool.check(expected(pool, {pages[0]})).code() == Code::internal);
  CHECK(pool.check(expected(pool, {pages[0], pages[1], pages[1]})).code() == Code::internal);
  CHECK(pool.check(expected(pool, {pages[0], pages[1], static_cast<PageId>(2)})).code() == Code::internal);
}

}  // namespace quire
