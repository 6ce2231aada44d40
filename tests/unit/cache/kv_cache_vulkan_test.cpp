// KvCache on Vulkan: what the device really holds after tables were uploaded and pages copied.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "cache/kv_cache.hpp"
#include "tests/support/vulkan_fixture.hpp"

namespace quire::test {
namespace {

constexpr std::chrono::seconds kTimeout{20};

CacheGroup small_group() {
  CacheGroup group;
  group.layers = {0, 1, 2};
  group.kv_heads = 2;
  group.k_dim = 8;
  group.v_dim = 24;
  group.window = 0;
  group.tokens_per_page = 16;
  return group;
}

void run(Device& device, Encoder&& encoder) {
  const Result<uint64_t> value = device.submit(std::move(encoder));
  REQUIRE(value.ok());
  REQUIRE(device.wait(*value, kTimeout).ok());
}

std::vector<std::byte> read_back(Device& device, BufferSlice slice) {
  Result<Buffer> buffer = device.create_buffer(slice.size_bytes, BufferUse::readback, "test readback");
  REQUIRE(buffer.ok());
  Encoder encoder = device.encoder();
  REQUIRE(encoder.copy(slice, buffer->slice()).ok());
  run(device, std::move(encoder));
  return {buffer->mapped().begin(), buffer->mapped().end()};
}

struct VulkanCache {
  VulkanFixture fixture;
  Device& device = fixture.device();
  CacheBudget budget{16u << 20};
  KvCache cache = make();

  KvCache make() {
    Result<KvCache> made = KvCache::create(device, {small_group()}, budget, {});
    REQUIRE(made.ok());
    return std::move(*made);
  }
  SeqId create() {
    const std::vector<PageFormats> formats(1);
    Result<SeqId> seq = cache.create_sequence(formats);
    REQUIRE(seq.ok());
    return *seq;
  }
  void append(SeqId seq, uint32_t count) {
    Encoder encoder = device.encoder();
    REQUIRE(cache.reserve(seq, count, encoder).ok());
    REQUIRE(cache.upload_tables(seq, encoder).ok());
    run(device, std::move(encoder));
    cache.commit(seq, count, device.last_submitted());
  }
};

void check_device_table(VulkanCache& vulkan, SeqId seq, BufferSlice table) {
  const std::vector<std::byte> bytes = read_back(vulkan.device, table);
  const std::span<const TablePage> pages = vulkan.cache.pages(seq, 0);
  REQUIRE(bytes.size() >= pages.size() * sizeof(PageEntry));
  for (size_t i = 0; i < bytes.size() / sizeof(PageEntry); ++i) {
    PageEntry entry;
    std::memcpy(&entry, bytes.data() + i * sizeof entry, sizeof entry);
    CHECK(entry.page == (i < pages.size() ? pages[i].address : 0));
    CHECK(entry.formats == (i < pages.size() ? pages[i].formats.word() : 0));
    CHECK(entry.reserved == 0);
  }
}

}  // namespace

TEST_CASE("kv_cache on vulkan: a table's bytes on the device equal the host's after growth, truncation and format changes") {
  VulkanCache vulkan;
  const SeqId seq = vulkan.create();
  vulkan.append(seq, 40);
  check_device_table(vulkan, seq, vulkan.cache.slabs().back());
  const std::vector<PageFormats> f32 = {{PageFormat::f32, PageFormat::f16}};
  REQUIRE(vulkan.cache.set_formats(seq, f32).ok());
  vulkan.append(seq, 300);
  check_device_table(vulkan, seq, vulkan.cache.slabs().back());
  REQUIRE(vulkan.cache.truncate(seq, 90, vulkan.device.last_submitted()).ok());
  vulkan.append(seq, 1);
  check_device_table(vulkan, seq, vulkan.cache.slabs().back());
}

TEST_CASE("kv_cache on vulkan: page_copy copies exactly page_bytes and nothing else") {
  VulkanCache vulkan;
  const SeqId parent = vulkan.create();
  vulkan.append(parent, 40);
  const BufferSlice slab = vulkan.cache.slabs().front();
  std::vector<std::byte> before(slab.size_bytes);
  for (size_t i = 0; i < before.size(); ++i) before[i] = static_cast<std::byte>(i * 2654435761u >> 13);
  {
    Encoder encoder = vulkan.device.encoder();
    REQUIRE(encoder.upload(slab, before).ok());
    run(vulkan.device, std::move(encoder));
  }
  Result<SeqId> child = vulkan.cache.fork(parent, 40);
  REQUIRE(child.ok());
  vulkan.append(*child, 1);

  const BufferSlice source = vulkan.cache.page_slice(0, vulkan.cache.pages(parent, 0)[2]);
  const BufferSlice copy = vulkan.cache.page_slice(0, vulkan.cache.pages(*child, 0)[2]);
  REQUIRE(source.size_bytes == page_bytes(small_group().page_shape(), PageFormats{}.word()));
  REQUIRE(copy.buffer == slab.buffer);
  REQUIRE(copy.offset_bytes != source.offset_bytes);
  const std::vector<std::byte> after = read_back(vulkan.device, slab);
  std::vector<std::byte> wanted = before;
  std::memcpy(wanted.data() + copy.offset_bytes, before.data() + source.offset_bytes, source.size_bytes);
  REQUIRE(wanted != before);
  CHECK(after == wanted);
}

}  // namespace quire::test
