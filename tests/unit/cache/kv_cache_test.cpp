// KvCache on the reference backend, where buffers are host memory and an address can be looked at.
#include "cache/kv_cache.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "engine/base/checked.hpp"

namespace quire {
namespace {

constexpr PageFormats kF16 = {PageFormat::f16, PageFormat::f16};
constexpr PageFormats kF32 = {PageFormat::f32, PageFormat::f32};

CacheGroup group_of(uint32_t layer_count, uint32_t kv_heads, uint32_t dim, uint32_t window) {
  CacheGroup group;
  for (uint32_t i = 0; i < layer_count; ++i) group.layers.push_back(i);
  group.kv_heads = kv_heads;
  group.k_dim = dim;
  group.v_dim = dim;
  group.window = window;
  group.tokens_per_page = 16;
  return group;
}

constexpr uint32_t kPageBytes = 2 * 16 * 8 * 2;  // of group_of(1, 1, 8, ...) in f16

Device open_device(uint32_t max_buffer_count = 4096) {
  DeviceOptions options;
  options.backend = BackendKind::reference;
  options.adjust_limits = [max_buffer_count](Limits& limits) { limits.max_buffer_count = max_buffer_count; };
  Result<Device> device = Device::open(options);
  REQUIRE(device.ok());
  return std::move(*device);
}

struct Bench {
  Device device;
  CacheBudget budget;
  KvCache cache;

  explicit Bench(std::vector<CacheGroup> groups, uint64_t budget_bytes = 1 << 20, KvCacheOptions options = {}, uint32_t max_buffer_count = 4096)
      : device(open_device(max_buffer_count)), budget(budget_bytes), cache(make(device, std::move(groups), budget, options)) {}

  static KvCache make(Device& device, std::vector<CacheGroup> groups, CacheBudget& budget, const KvCacheOptions& options) {
    Result<KvCache> cache = KvCache::create(device, std::move(groups), budget, options);
    REQUIRE(cache.ok());
    return std::move(*cache);
  }
  SeqId create(PageFormats formats = kF16) {
    Result<SeqId> seq = cache.create_sequence(std::vector<PageFormats>(cache.groups().size(), formats));
    REQUIRE(seq.ok());
    return *seq;
  }
  /// One whole step. Returns its timeline value.
  uint64_t append(SeqId seq, uint32_t count) {
    Encoder encoder = device.encoder();
    REQUIRE(cache.reserve(seq, count, encoder).ok());
    REQUIRE(cache.upload_tables(seq, encoder).ok());
    Result<uint64_t> value = device.submit(std::move(encoder));
    REQUIRE(value.ok());
    cache.commit(seq, count, *value);
    REQUIRE(cache.check().ok());
    return *value;
  }
  uint32_t held(SeqId seq, uint32_t group) const {
    const auto pages = cache.pages(seq, group);
    return static_cast<uint32_t>(std::count_if(pages.begin(), pages.end(), [](const TablePage& page) { return page.page != PageId::none; }));
  }
};

uint8_t* bytes_at(uint64_t address) { return reinterpret_cast<uint8_t*>(address); }

std::vector<TablePage> copy_of(std::span<const TablePage> pages) { return {pages.begin(), pages.end()}; }

}  // namespace

TEST_CASE("kv_cache: creation names what is wrong with a group") {
  Device device = open_device();
  CacheBudget budget(1 << 20);
  CHECK(KvCache::create(device, {}, budget, {}).code() == Code::invalid_argument);
  CHECK(KvCache::create(device, {group_of(0, 1, 8, 0)}, budget, {}).code() == Code::invalid_argument);
  CHECK(KvCache::create(device, {group_of(80, 8, 256, 0)}, budget, {}).code() == Code::unsupported);
  Result<KvCache> cache = KvCache::create(device, {group_of(1, 1, 8, 0)}, budget, {});
  REQUIRE(cache.ok());
  CHECK(cache->create_sequence({}).code() == Code::invalid_argument);
  CHECK(budget.used_bytes() == 0);
}

TEST_CASE("kv_cache: out of pages in the last group changes nothing in any") {
  Bench b({group_of(1, 1, 8, 0), group_of(4, 4, 64, 0)}, 160 << 10);  // the second group's pages have 64 KiB
  const SeqId seq = b.create();
  b.append(seq, 16);
  const SeqId other = b.create();
  const CacheMemory before = b.cache.memory();
  const std::vector<TablePage> table = copy_of(b.cache.pages(seq, 0));
  const uint64_t used = b.budget.used_bytes();
  Encoder encoder = b.device.encoder();
  CHECK(b.cache.reserve(seq, 33, encoder).code() == Code::out_of_pages);
  CHECK(encoder.commands().empty());
  const CacheMemory after = b.cache.memory();
  CHECK(after.slab_bytes == before.slab_bytes);
  CHECK(after.table_bytes == before.table_bytes);
  CHECK(after.groups[0].pages.pages_in_use == before.groups[0].pages.pages_in_use);
  CHECK(after.groups[0].pages.pages_free == before.groups[0].pages.pages_free);
  CHECK(after.groups[0].pages.pages_retired == 0);
  CHECK(copy_of(b.cache.pages(seq, 0)) == table);
  CHECK(b.budget.used_bytes() == used);
  CHECK(b.cache.check().ok());
  // The same sequence, and another one, go on with what there is.
  b.append(other, 16);
  b.cache.free_sequence(other, 0);
  b.append(seq, 16);
  CHECK(b.cache.length(seq) == 32);
}

TEST_CASE("kv_cache: one budget bounds the caches of several models") {
  Device device = open_device();
  CacheBudget budget(4 * kPageBytes);
  KvCache first = Bench::make(device, {group_of(1, 1, 8, 0)}, budget, {});
  KvCache second = Bench::make(device, {group_of(1, 1, 8, 0)}, budget, {});
  const std::vector<PageFormats> formats = {kF16};
  const SeqId a = *first.create_sequence(formats);
  const SeqId b = *second.create_sequence(formats);
  Encoder encoder = device.encoder();
  CHECK(first.reserve(a, 3 * 16, encoder).ok());
  CHECK(second.reserve(b, 2 * 16, encoder).code() == Code::out_of_pages);
  CHECK(second.reserve(b, 16, encoder).ok());
  CHECK(budget.available_bytes() == 0);
  first.free_sequence(a, 0);
  second.cancel(b, 0);
  CHECK(second.reserve(b, 4 * 16, encoder).ok());
}

TEST_CASE("kv_cache: a window holds at most ceil(window / page) + 1 pages between steps, however long the text") {
  for (const uint32_t window : {1u, 16u, 17u, 40u, 100u}) {
    for (const uint32_t chunk : {1u, 7u, 16u, 33u}) {
      CAPTURE(window);
      CAPTURE(chunk);
      Bench b({group_of(1, 1, 8, 0), group_of(1, 1, 8, window)});
      const SeqId seq = b.create();
      uint32_t most = 0;
      while (b.cache.length(seq) < 600) {
        const uint64_t value = b.append(seq, chunk);
        most = std::max(most, b.held(seq, 1));
        // What a query in the next slot may see is held.
        const uint32_t first = first_visible_slot(b.cache.length(seq), window) / 16;
        for (uint32_t i = first; i < b.cache.pages(seq, 1).size(); ++i) REQUIRE(b.cache.pages(seq, 1)[i].page != PageId::none);
        b.cache.collect(value);
      }
      CHECK(most <= ceil_div(window, 16u) + 1);
      CHECK(b.held(seq, 0) == ceil_div(b.cache.length(seq), 16u));
      CHECK(b.cache.memory().groups[1].pages.pages_in_use == b.held(seq, 1));
    }
  }
}

TEST_CASE("kv_cache: pages that left a window are in the pool again once the step is complete") {
  Bench b({group_of(1, 1, 8, 16)}, 8 * kPageBytes);
  const SeqId seq = b.create();
  const uint64_t value = b.append(seq, 8 * 16);
  CHECK(b.cache.memory().groups[0].pages.pages_retired == 7);
  Encoder encoder = b.device.encoder();
  CHECK(b.cache.reserve(seq, 16, encoder).code() == Code::out_of_pages);
  b.cache.collect(value);
  CHECK(b.cache.reserve(seq, 16, encoder).ok());
}

TEST_CASE("kv_cache: truncating inside a page keeps the page and gives back those after it") {
  Bench b({group_of(1, 1, 8, 0)});
  const SeqId seq = b.create();
  const uint64_t value = b.append(seq, 50);
  const std::vector<TablePage> table = copy_of(b.cache.pages(seq, 0));
  CHECK(b.cache.truncate(seq, 51, value).code() == Code::invalid_argument);
  CHECK(b.cache.truncate(seq, 20, value + 1).ok());
  CHECK(b.cache.check().ok());
  CHECK(b.cache.length(seq) == 20);
  REQUIRE(b.cache.pages(seq, 0).size() == 2);
  CHECK(b.cache.pages(seq, 0)[1] == table[1]);
  CHECK(b.cache.memory().groups[0].pages.pages_retired == 2);
  b.append(seq, 12);
  CHECK(b.cache.pages(seq, 0)[1] == table[1]);
  CHECK(b.cache.truncate(seq, 0, value + 1).ok());
  CHECK(b.cache.pages(seq, 0).empty());
}

TEST_CASE("kv_cache: truncating to what a window dropped is refused, to what it holds or to nothing is not") {
  Bench b({group_of(1, 1, 8, 0), group_of(1, 1, 8, 32)});
  const SeqId seq = b.create();
  b.append(seq, 100);  // the window begins in slot 69: pages from 4 on
  CHECK(b.cache.held(seq, 0).count == 7);
  CHECK(b.cache.held(seq, 1).count == 3);
  CHECK(b.cache.held(seq, 1).size_bytes == 3 * kPageBytes);
  CHECK(b.cache.held(seq, 2).count == 0);
  CHECK(b.cache.holds_prefix(seq, 100));
  CHECK(b.cache.holds_prefix(seq, 95));
  CHECK_FALSE(b.cache.holds_prefix(seq, 94));
  CHECK(b.cache.holds_prefix(seq, 0));
  CHECK_FALSE(b.cache.holds_prefix(seq, 101));
  CHECK(b.cache.truncate(seq, 94, 0).code() == Code::invalid_argument);
  CHECK(b.cache.length(seq) == 100);
  CHECK(b.cache.truncate(seq, 95, 0).ok());
  CHECK(b.cache.check().ok());
  CHECK(b.cache.truncate(seq, 0, 0).ok());
  CHECK(b.cache.check().ok());
  b.append(seq, 100);
}

TEST_CASE("kv_cache: a shared last page is copied before the first write, and only then") {
  Bench b({group_of(2, 1, 8, 0)});
  const SeqId parent = b.create();
  b.append(parent, 40);
  const TablePage shared = b.cache.pages(parent, 0)[2];
  std::memset(bytes_at(shared.address), 0x5a, 2 * kPageBytes);
  Result<SeqId> child = b.cache.fork(parent, 40);
  REQUIRE(child.ok());
  CHECK(b.cache.memory().pages_in_use == 3);
  CHECK(copy_of(b.cache.pages(*child, 0)) == copy_of(b.cache.pages(parent, 0)));

  Encoder encoder = b.device.encoder();
  REQUIRE(b.cache.reserve(*child, 1, encoder).ok());
  CHECK(b.cache.check().ok());
  const TablePage copy = b.cache.pages(*child, 0)[2];
  CHECK(copy.address != shared.address);
  CHECK(b.cache.pages(parent, 0)[2] == shared);
  REQUIRE(encoder.commands().size() == 1);
  CHECK(encoder.commands()[0].kind == Command::Kind::copy);
  CHECK(encoder.commands()[0].destination.size_bytes == 2 * kPageBytes);
  REQUIRE(b.cache.upload_tables(*child, encoder).ok());
  const uint64_t value = *b.device.submit(std::move(encoder));
  b.cache.commit(*child, 1, value);
  CHECK(std::memcmp(bytes_at(copy.address), bytes_at(shared.address), 2 * kPageBytes) == 0);
  CHECK(b.cache.check().ok());

  // The parent's page is its own again: no second copy. Whole pages stay shared.
  Encoder next = b.device.encoder();
  REQUIRE(b.cache.reserve(parent, 1, next).ok());
  CHECK(next.commands().empty());
  CHECK(b.cache.pages(parent, 0)[2] == shared);
  CHECK(b.cache.pages(*child, 0)[1] == b.cache.pages(parent, 0)[1]);
  CHECK(b.cache.memory().pages_in_use == 4);
}

TEST_CASE("kv_cache: a cancelled reserve gives the shared page back instead of its copy") {
  Bench b({group_of(1, 1, 8, 0)});
  const SeqId parent = b.create();
  b.append(parent, 20);
  const SeqId child = *b.cache.fork(parent, 20);
  const std::vector<TablePage> table = copy_of(b.cache.pages(child, 0));
  {
    Encoder dropped = b.device.encoder();
    REQUIRE(b.cache.reserve(child, 30, dropped).ok());
    REQUIRE(b.cache.upload_tables(child, dropped).ok());
    CHECK(b.cache.fork(child, 20).code() == Code::busy);
    CHECK(b.cache.truncate(child, 0, 0).code() == Code::busy);
    CHECK(b.cache.reserve(child, 1, dropped).code() == Code::busy);
  }
  b.cache.cancel(child, 0);
  CHECK(b.cache.check().ok());
  CHECK(copy_of(b.cache.pages(child, 0)) == table);
  CHECK(b.cache.memory().pages_in_use == 2);
  // The table that never reached the device is written whole by the next step.
  b.append(child, 1);
  const SequenceInfo info = b.cache.sequence_info(child, 0);
  PageEntry entries[16];
  std::memcpy(entries, bytes_at(info.table), sizeof entries);
  for (uint32_t i = 0; i < 16; ++i) CHECK(entries[i].page == (i < 2 ? b.cache.pages(child, 0)[i].address : 0));
}

TEST_CASE("kv_cache: a fork's pages outlive the parent, and the last holder retires them") {
  Bench b({group_of(1, 1, 8, 0)});
  const SeqId parent = b.create();
  const uint64_t value = b.append(parent, 64);
  const SeqId child = *b.cache.fork(parent, 33);
  b.cache.free_sequence(parent, value + 5);
  CHECK(b.cache.check().ok());
  CHECK(b.cache.memory().pages_in_use == 3);
  CHECK(b.cache.length(parent) == 0);
  b.cache.free_sequence(child, value);
  b.cache.collect(value + 4);
  CHECK(b.cache.memory().groups[0].pages.pages_retired > 0);
  b.cache.collect(value + 5);
  CHECK(b.budget.used_bytes() == 0);
}

TEST_CASE("kv_cache: new pages take the format asked for last, pages held keep theirs, and a copy keeps its original's") {
  Bench b({group_of(1, 1, 8, 0)});
  const SeqId seq = b.create(kF16);
  b.append(seq, 20);
  const std::vector<PageFormats> f32 = {kF32};
  REQUIRE(b.cache.set_formats(seq, f32).ok());
  b.append(seq, 20);
  const SeqId child = *b.cache.fork(seq, 20);
  b.append(child, 16);
  const auto formats = [&](SeqId id, size_t page) { return b.cache.pages(id, 0)[page].formats; };
  CHECK(formats(seq, 0) == kF16);
  CHECK(formats(seq, 1) == kF16);
  CHECK(formats(seq, 2) == kF32);
  CHECK(formats(child, 1) == kF16);
  CHECK(b.cache.pages(child, 0)[1].address != b.cache.pages(seq, 0)[1].address);
  CHECK(formats(child, 2) == kF32);
  CHECK(b.cache.memory().in_use_bytes == 3 * kPageBytes + 2 * 2 * kPageBytes);
}

TEST_CASE("kv_cache: pages are poisoned or zeroed when a sequence gets them, copies excepted") {
  for (const PageFill fill : {PageFill::poison, PageFill::zero}) {
    Bench b({group_of(1, 1, 8, 0)}, 1 << 20, {.page_fill = fill});
    const SeqId first = b.create(kF32);
    const uint64_t value = b.append(first, 16);
    const uint64_t address = b.cache.pages(first, 0)[0].address;
    std::memset(bytes_at(address), 0x11, 2 * kPageBytes);
    const SeqId keeps_slab = b.create(kF32);
    b.append(keeps_slab, 16);
    b.cache.free_sequence(first, value);
    b.cache.collect(value);
    const SeqId second = b.create(kF32);
    b.append(second, 1);
    REQUIRE(b.cache.pages(second, 0)[0].address == address);
    for (uint32_t i = 0; i < 2 * kPageBytes; i += 4) {
      float number;
      std::memcpy(&number, bytes_at(address) + i, 4);
      if (fill == PageFill::poison) REQUIRE(std::isnan(number));
      if (fill == PageFill::zero) REQUIRE(number == 0.0f);
    }
    std::memset(bytes_at(address), 0x22, 2 * kPageBytes);
    const SeqId child = *b.cache.fork(second, 1);
    b.append(child, 1);
    CHECK(std::memcmp(bytes_at(address), bytes_at(b.cache.pages(child, 0)[0].address), 2 * kPageBytes) == 0);
  }
  // The poison is a NaN in both halves of a word too: exponent bits all ones, some mantissa bit set.
  CHECK((kPoisonWord & 0x7c00u) == 0x7c00u);
  CHECK((kPoisonWord & 0x03ffu) != 0);
  CHECK((kPoisonWord >> 16 & 0x7c00u) == 0x7c00u);
  CHECK((kPoisonWord >> 16 & 0x03ffu) != 0);
}

TEST_CASE("kv_cache: an allocation that fails at any point leaves all as it was") {
  // A step of a fresh sequence allocates a table and a slab in each of two groups, and staging memory for the upload.
  for (uint32_t allowed = 0; allowed < 5; ++allowed) {
    CAPTURE(allowed);
    Bench b({group_of(1, 1, 8, 0), group_of(1, 1, 16, 0)}, 1 << 20, {}, allowed);
    const SeqId seq = b.create();
    std::optional<Encoder> encoder = b.device.encoder();
    const Status reserved = b.cache.reserve(seq, 20, *encoder);
    CHECK(reserved.ok() == (allowed == 4));
    if (reserved.ok()) {
      CHECK(b.cache.upload_tables(seq, *encoder).code() == Code::out_of_device_memory);
      b.cache.cancel(seq, 0);
    } else {
      CHECK(reserved.code() == Code::out_of_device_memory);
      CHECK(b.cache.memory().table_bytes == 0);
      encoder.reset();  // an open encoder keeps buffers that were given back
      CHECK(b.device.memory().buffer_count == 0);
    }
    CHECK(b.cache.check().ok());
    CHECK(b.cache.pages(seq, 0).empty());
    CHECK(b.cache.memory().slab_bytes == 0);
    CHECK(b.budget.used_bytes() == 0);
    CHECK(b.cache.length(seq) == 0);
  }
}

TEST_CASE("kv_cache: a table is uploaded only where it changed, and whole when its buffer grew") {
  Bench b({group_of(1, 1, 8, 32)});
  const SeqId seq = b.create();
  const auto uploaded = [&](uint32_t count) {
    Encoder encoder = b.device.encoder();
    REQUIRE(b.cache.reserve(seq, count, encoder).ok());
    REQUIRE(b.cache.upload_tables(seq, encoder).ok());
    std::vector<std::pair<uint64_t, uint64_t>> ranges;  // first entry, entries
    for (const Command& command : encoder.commands()) {
      ranges.emplace_back(command.destination.offset_bytes / sizeof(PageEntry), command.destination.size_bytes / sizeof(PageEntry));
    }
    const uint64_t value = *b.device.submit(std::move(encoder));
    b.cache.commit(seq, count, value);
    b.cache.collect(value);
    REQUIRE(b.cache.check().ok());
    return ranges;
  };
  using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;
  CHECK(uploaded(16) == Ranges{{0, 16}});      // a new buffer
  CHECK(uploaded(8) == Ranges{{1, 1}});
  CHECK(uploaded(8) == Ranges{});              // inside a page that is there
  CHECK(uploaded(32) == Ranges{{2, 2}});       // slot 64 sees from 33 on: pages 0 and 1 leave
  CHECK(uploaded(1) == Ranges{{0, 2}, {4, 1}});
  CHECK(uploaded(16 * 16) == Ranges{{0, 32}}); // 21 entries do not fit 16
}

TEST_CASE("kv_cache: slabs() names every slab and every table, and nothing after all was freed") {
  Bench b({group_of(1, 1, 8, 0), group_of(1, 1, 16, 0)});
  const SeqId seq = b.create();
  const SeqId other = b.create();
  CHECK(b.cache.slabs().empty());
  const uint64_t value = b.append(seq, 1);
  CHECK(b.cache.slabs().size() == 4);
  b.append(other, 1);
  CHECK(b.cache.slabs().size() == 6);
  b.cache.free_sequence(other, value);
  CHECK(b.cache.slabs().size() == 4);
  b.cache.free_sequence(seq, value + 1);
  CHECK(b.cache.slabs().size() == 2);
  b.cache.collect(value + 1);
  CHECK(b.cache.slabs().empty());
}

}  // namespace quire
