// More than a million random operations on KvCache, compared with CacheModel and check()ed after each. On the reference backend, so that the bytes of
// pages and tables are looked at too; which timeline values are complete is decided here, apart from the device.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "engine/device/device.hpp"
#include "tests/unit/cache/cache_model.hpp"

namespace quire::test {
namespace {

enum Outcome : uint32_t {
  created, reserved, reserved_with_copy, out_of_pages, out_of_device_memory, reserve_busy, committed, committed_less, window_page_left, cancelled_dropped,
  cancelled_submitted, truncated, truncated_inside_page, truncate_refused, truncate_busy, forked, forked_inside_page, fork_refused, freed,
  freed_while_reserved, collected, collected_none, format_changed, slab_returned, table_grown, stale_id_refused, kOutcomes,
};
constexpr std::array<const char*, kOutcomes> kOutcomeNames = {
    "created", "reserved", "reserved_with_copy", "out_of_pages", "out_of_device_memory", "reserve_busy", "committed", "committed_less",
    "window_page_left", "cancelled_dropped", "cancelled_submitted", "truncated", "truncated_inside_page", "truncate_refused", "truncate_busy",
    "forked", "forked_inside_page", "fork_refused", "freed", "freed_while_reserved", "collected", "collected_none", "format_changed",
    "slab_returned", "table_grown", "stale_id_refused"};

const std::vector<ModelGroup> kGroups = {{.layers = 2, .kv_heads = 1, .k_dim = 8, .v_dim = 8, .window = 0},
                                         {.layers = 1, .kv_heads = 2, .k_dim = 16, .v_dim = 8, .window = 40},
                                         {.layers = 1, .kv_heads = 1, .k_dim = 8, .v_dim = 24, .window = 1}};
constexpr uint64_t kBudgetBytes = 56 << 10;
constexpr uint64_t kSlabBytes = 3 << 10;
constexpr size_t kMaxSequences = 5;

class RandomRun {
 public:
  explicit RandomRun(uint32_t seed) : random_(seed), budget_(kBudgetBytes), model_(kGroups) {
    DeviceOptions options;
    options.backend = BackendKind::reference;
    options.adjust_limits = [](Limits& limits) { limits.max_buffer_count = 41; };
    Result<Device> device = Device::open(options);
    REQUIRE(device.ok());
    device_.emplace(std::move(*device));
    std::vector<CacheGroup> groups;
    for (const ModelGroup& group : kGroups) groups.push_back(group.description());
    Result<KvCache> cache = KvCache::create(*device_, groups, budget_, {.slab_bytes = kSlabBytes});
    REQUIRE(cache.ok());
    cache_.emplace(std::move(*cache));
  }

  /// One random operation and all comparisons. An empty string: all agree.
  std::string operate() {
    touched_ = nullptr;
    const CacheMemory before = cache_->memory();
    std::string error = choose();
    if (!error.empty()) return error;
    if (Status status = cache_->check(); !status) return status.error().message;
    if (touched_ != nullptr) error = model_.compare(*touched_, *cache_);
    if (error.empty()) error = model_.compare_memory(*cache_);
    const CacheMemory after = cache_->memory();
    if (after.slab_bytes < before.slab_bytes) ++counts_[slab_returned];
    if (after.table_bytes > before.table_bytes) ++counts_[table_grown];
    if (after.slab_bytes != budget_.used_bytes()) return "the budget differs from the slabs";
    return error;
  }
  std::string compare_all() const {
    for (const ModelSequence& sequence : sequences_) {
      if (std::string error = model_.compare(sequence, *cache_); !error.empty()) return error;
    }
    return {};
  }
  /// Everything freed and complete: nothing may be left.
  std::string drain() {
    while (!sequences_.empty()) free(sequences_.back());
    cache_->collect(submitted_);
    model_.collect(submitted_);
    if (Status status = cache_->check(); !status) return status.error().message;
    return cache_->memory().slab_bytes == 0 && budget_.used_bytes() == 0 && cache_->slabs().empty() ? "" : "slabs are left";
  }
  const std::array<uint64_t, kOutcomes>& counts() const { return counts_; }

 private:
  uint32_t below(uint32_t bound) { return std::uniform_int_distribution<uint32_t>(0, bound - 1)(random_); }

  std::vector<PageFormats> random_formats() {
    const auto any = [this] { return below(2) == 0 ? PageFormat::f16 : PageFormat::f32; };
    std::vector<PageFormats> formats;
    for (size_t g = 0; g < kGroups.size(); ++g) formats.push_back({any(), any()});
    return formats;
  }

  std::string choose() {
    const uint32_t what = below(100);
    if (sequences_.empty() || (what < 6 && sequences_.size() < kMaxSequences)) return create();
    ModelSequence& sequence = sequences_[below(static_cast<uint32_t>(sequences_.size()))];
    touched_ = &sequence;
    if (what < 70) return sequence.reserving ? finish(sequence) : reserve(sequence);
    if (what < 80) return collect();
    if (what < 86) return truncate(sequence);
    if (what < 91) return sequences_.size() < kMaxSequences ? fork(sequence) : collect();
    if (what < 95) return set_formats(sequence);
    if (what < 97) return refuse(sequence);
    if (what < 99) return stale();
    free(sequence);
    return {};
  }

  /// What a release may name: not always the newest, as a sequence that was idle for some steps knows.
  uint64_t release_value() { return submitted_ - below(static_cast<uint32_t>(std::min<uint64_t>(submitted_ - completed_, 3) + 1)); }

  std::string create() {
    const std::vector<PageFormats> formats = random_formats();
    Result<SeqId> id = cache_->create_sequence(formats);
    if (!id.ok()) return id.error().message;
    sequences_.push_back(model_.create(*id, formats));
    ++counts_[created];
    return {};
  }

  std::string reserve(ModelSequence& sequence) {
    const uint32_t count = below(4) == 0 ? below(70) : below(12);
    Encoder encoder = device_->encoder();
    uint64_t least_bytes = 0;  // a bound below which a refusal is right: slabs are rounded up, each to at most half of what is left
    uint32_t copies = 0;
    for (size_t g = 0; g < kGroups.size(); ++g) {
      const uint64_t bytes = kGroups[g].page_bytes({PageFormat::f32, PageFormat::f32});
      least_bytes += bytes * (model_.pages_needed(sequence, g, count) + 2) << g;
      copies += model_.copies_last_page(sequence, g, count) ? 1u : 0u;
    }
    const uint64_t available = budget_.available_bytes();
    const Status status = cache_->reserve(sequence.id, count, encoder);
    if (!status) {
      ++counts_[status.code() == Code::out_of_pages ? out_of_pages : out_of_device_memory];
      if (status.code() == Code::out_of_pages && available >= least_bytes) return "out of pages although the budget has room";
      if (status.code() != Code::out_of_pages && status.code() != Code::out_of_device_memory) return status.error().message;
      return encoder.commands().empty() && budget_.available_bytes() == available ? "" : "a failed reserve left something behind";
    }
    if (encoder.commands().size() != copies) return "a reserve recorded other commands than its page copies";
    ++counts_[reserved];
    counts_[reserved_with_copy] += copies > 0 ? 1 : 0;
    if (std::string error = model_.reserved(sequence, count, *cache_); !error.empty()) return error;
    if (Status uploaded = cache_->upload_tables(sequence.id, encoder); !uploaded) return uploaded.error().message;
    if (below(6) == 0) {
      ++counts_[cancelled_dropped];
      return cancel(sequence, 0);
    }
    if (Result<uint64_t> value = device_->submit(std::move(encoder)); !value.ok()) return value.error().message;
    ++submitted_;
    return compare_device_table(sequence);
  }

  std::string compare_device_table(const ModelSequence& sequence) const {
    for (uint32_t g = 0; g < kGroups.size(); ++g) {
      const SequenceInfo info = cache_->sequence_info(sequence.id, g);
      const std::vector<ModelPage>& table = sequence.tables[g];
      if (table.empty()) continue;
      if (info.page_count != table.size()) return "SequenceInfo has another page count";
      // Buffers are a power of two of entries: the ones past the last page are zero.
      for (uint32_t i = 0; i < std::max<uint32_t>(16, static_cast<uint32_t>(table.size())); ++i) {
        PageEntry entry;
        std::memcpy(&entry, reinterpret_cast<const void*>(info.table + i * sizeof entry), sizeof entry);
        const uint64_t address = i < table.size() ? table[i].address : 0;
        const uint32_t formats = address != 0 ? table[i].formats.word() : 0;
        if (entry.page != address || entry.formats != formats || entry.reserved != 0) return "the device's table differs at entry " + std::to_string(i);
      }
    }
    return {};
  }

  std::string cancel(ModelSequence& sequence, uint64_t value) {
    cache_->cancel(sequence.id, value);
    model_.cancel(sequence, value);
    return {};
  }

  std::string finish(ModelSequence& sequence) {
    if (below(5) == 0) {
      ++counts_[cancelled_submitted];
      return cancel(sequence, submitted_);
    }
    const uint32_t count = below(8) == 0 ? below(sequence.reserved + 1) : sequence.reserved;
    ++counts_[count < sequence.reserved ? committed_less : committed];
    std::vector<uint32_t> tokens(count);
    for (uint32_t& token : tokens) token = ++last_token_;
    model_.write(sequence, tokens);
    uint32_t held = 0;
    for (size_t g = 0; g < kGroups.size(); ++g) held += model_.held_pages(sequence, g);
    cache_->commit(sequence.id, count, submitted_);
    model_.commit(sequence, tokens, submitted_);
    uint32_t held_now = 0;
    for (size_t g = 0; g < kGroups.size(); ++g) held_now += model_.held_pages(sequence, g);
    counts_[window_page_left] += held_now < held ? 1 : 0;
    return {};
  }

  std::string truncate(ModelSequence& sequence) {
    const uint32_t length = below(3) == 0 ? below(sequence.length() + 3) : sequence.length() - std::min(sequence.length(), below(8));
    const uint64_t value = release_value();
    const Status status = cache_->truncate(sequence.id, length, value);
    const bool possible = !sequence.reserving && model_.can_keep(sequence, length);
    if (status.ok() != possible) return "truncate to " + std::to_string(length) + " answered otherwise than the model";
    if (!possible) {
      ++counts_[sequence.reserving ? truncate_busy : truncate_refused];
      return status.code() == (sequence.reserving ? Code::busy : Code::invalid_argument) ? "" : "truncate answered with a wrong code";
    }
    ++counts_[length % kModelPageTokens == 0 ? truncated : truncated_inside_page];
    model_.truncate(sequence, length, value);
    return {};
  }

  std::string fork(ModelSequence& parent) {
    const uint32_t length = below(3) == 0 ? below(parent.length() + 2) : parent.length();
    const Result<SeqId> id = cache_->fork(parent.id, length);
    const bool possible = !parent.reserving && model_.can_keep(parent, length);
    if (id.ok() != possible) return "fork at " + std::to_string(length) + " answered otherwise than the model";
    if (!possible) {
      ++counts_[fork_refused];
      return {};
    }
    ++counts_[length % kModelPageTokens == 0 ? forked : forked_inside_page];
    ModelSequence child = model_.fork(parent, *id, length);
    sequences_.push_back(std::move(child));
    touched_ = &sequences_.back();
    return {};
  }

  std::string set_formats(ModelSequence& sequence) {
    sequence.formats = random_formats();
    ++counts_[format_changed];
    return cache_->set_formats(sequence.id, sequence.formats).ok() ? "" : "set_formats failed";
  }

  std::string refuse(ModelSequence& sequence) {
    Encoder encoder = device_->encoder();
    if (!sequence.reserving) return {};
    ++counts_[reserve_busy];
    return cache_->reserve(sequence.id, 1, encoder).code() == Code::busy ? "" : "a second reserve was not refused";
  }

  std::string stale() {
    if (!freed_) return {};
    Encoder encoder = device_->encoder();
    ++counts_[stale_id_refused];
    cache_->commit(*freed_, 1, submitted_);
    cache_->cancel(*freed_, submitted_);
    cache_->free_sequence(*freed_, submitted_);
    const bool refused = cache_->reserve(*freed_, 1, encoder).code() == Code::invalid_argument && !cache_->fork(*freed_, 0).ok() &&
                         !cache_->truncate(*freed_, 0, submitted_).ok() && cache_->pages(*freed_, 0).empty() &&
                         cache_->sequence_info(*freed_, 0).table == 0 && cache_->length(*freed_) == 0;
    return refused ? "" : "a freed sequence's id still reaches something";
  }

  void free(ModelSequence& sequence) {
    ++counts_[sequence.reserving ? freed_while_reserved : freed];
    freed_ = sequence.id;
    const uint64_t value = release_value();
    cache_->free_sequence(sequence.id, value);
    model_.free(sequence, value);
    sequences_.erase(sequences_.begin() + (&sequence - sequences_.data()));
    touched_ = nullptr;
  }

  std::string collect() {
    completed_ += below(static_cast<uint32_t>(submitted_ - completed_ + 1));
    const size_t retired = model_.retired_count();
    cache_->collect(completed_);
    model_.collect(completed_);
    ++counts_[model_.retired_count() < retired ? collected : collected_none];
    return {};
  }

  std::mt19937 random_;
  CacheBudget budget_;
  std::optional<Device> device_;
  std::optional<KvCache> cache_;
  CacheModel model_;
  std::vector<ModelSequence> sequences_;
  ModelSequence* touched_ = nullptr;
  std::optional<SeqId> freed_;
  uint64_t submitted_ = 0;
  uint64_t completed_ = 0;
  uint32_t last_token_ = 0;
  std::array<uint64_t, kOutcomes> counts_{};
};

constexpr uint32_t kSeeds = 8;
constexpr uint32_t kOperations = 132'000;

}  // namespace

TEST_CASE("kv_cache: a million random operations agree with a simple model, and check() passes after each") {
  std::array<uint64_t, kOutcomes> counts{};
  for (uint32_t seed = 1; seed <= kSeeds; ++seed) {
    RandomRun run(seed);
    for (uint32_t i = 0; i < kOperations; ++i) {
      std::string error = run.operate();
      if (error.empty() && i % 32 == 0) error = run.compare_all();
      if (!error.empty()) FAIL("seed ", seed, ", operation ", i, ": ", error);
    }
    const std::string error = run.drain();
    if (!error.empty()) FAIL("seed ", seed, ", at the end: ", error);
    for (uint32_t o = 0; o < kOutcomes; ++o) counts[o] += run.counts()[o];
  }
  std::string lines;
  for (uint32_t o = 0; o < kOutcomes; ++o) lines += "\n  " + std::string(kOutcomeNames[o]) + " " + std::to_string(counts[o]);
  MESSAGE("outcomes:", lines);
  for (uint32_t o = 0; o < kOutcomes; ++o) CHECK_MESSAGE(counts[o] > 0, std::string(kOutcomeNames[o]), " never happened");
}

}  // namespace quire::test
