// KvCache: the paged keys and values of all sequences of one model on one device.
//
// A step on a sequence is: reserve, upload_tables, record kernels, submit, commit; or cancel where the step failed.
// Used by one thread at a time.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/cache_budget.hpp"
#include "cache/cache_group.hpp"
#include "cache/page_pool.hpp"
#include "cache/page_table.hpp"
#include "engine/base/result.hpp"
#include "engine/device/device.hpp"

namespace quire {

/// A sequence of one KvCache. An id is never used twice, so a stale one reaches nothing.
struct SeqId {
  uint32_t index = 0xffffffffu;
  uint32_t generation = 0;
  auto operator<=>(const SeqId&) const = default;
};

/// What a page holds when a sequence gets it.
enum class PageFill : uint8_t {
  as_left,  ///< what its last owner or the driver left: no kernel reads a slot that was not written
  zero,     ///< nothing of any other sequence
  poison,   ///< NaN in every format: a read of an unwritten slot shows (tests)
};
/// The word of PageFill::poison: one f32 NaN, or two f16 NaNs (of q8 pages: scales).
inline constexpr uint32_t kPoisonWord = 0x7fff7fffu;

struct KvCacheOptions {
  uint64_t slab_bytes = uint64_t{128} << 20;  ///< of a full slab; lowered to the device's largest buffer
  PageFill page_fill = PageFill::as_left;
};

struct GroupMemory {
  PoolMemory pages;                ///< over the group's pools
  uint64_t in_use_bytes = 0;       ///< of the pages in use
};

/// What one sequence holds in one group.
struct HeldPages {
  uint32_t count = 0;
  uint64_t size_bytes = 0;
};

struct CacheMemory {
  uint64_t slab_bytes = 0;         ///< what the budget counts
  uint64_t in_use_bytes = 0;
  uint64_t table_bytes = 0;        ///< page tables on the device
  uint32_t pages_in_use = 0;
  uint32_t sequence_count = 0;
  std::vector<GroupMemory> groups;
};

class KvCache {
 public:
  /// `budget` is shared by every cache of an engine; it and `device` outlive the cache and stay where they are. Takes no device memory yet.
  /// On error: invalid_argument, unsupported (a group that check_cache_group refuses, or whose page is larger than a buffer may be).
  static Result<KvCache> create(Device& device, std::vector<CacheGroup> groups, CacheBudget& budget, const KvCacheOptions& options);
  KvCache(KvCache&&) noexcept;
  KvCache& operator=(KvCache&&) noexcept;
  /// Gives everything back, sequences included.
  ~KvCache();

  std::span<const CacheGroup> groups() const;

  /// `formats[g]` is what new pages of group g are written in. On error: invalid_argument (not one entry a group).
  Result<SeqId> create_sequence(std::span<const PageFormats> formats);
  /// Pages written from now on are in `formats`; pages held stay as they are. On error: as create_sequence.
  Status set_formats(SeqId seq, std::span<const PageFormats> formats);
  /// A sequence with the first `length` slots of `parent`. It shares their pages, the last one too if the slots end inside it: whoever writes to that
  /// one first gets a copy. On error: invalid_argument (as truncate), busy (the parent is between reserve and commit).
  Result<SeqId> fork(SeqId parent, uint32_t length);
  /// Pages go back to the pool when the device has passed `timeline_value`. Also between reserve and commit.
  void free_sequence(SeqId seq, uint64_t timeline_value);

  /// Makes slots [length, length + count) of every group writable: takes pages, copies shared ones first (recorded in `encoder`).
  /// On error: out_of_pages, out_of_device_memory, invalid_argument (unknown sequence, length beyond 32 bits), busy (already reserved); nothing changed
  /// and nothing recorded. After any other error, which is the encoder's own, nothing changed and the encoder must not be submitted.
  Status reserve(SeqId seq, uint32_t count, Encoder& encoder);
  /// The reserved slots hold keys and values from `timeline_value` on: length grows by count, pages that left a window are given back then.
  /// Slots reserved beyond `count` are given up. Requires: reserved at least `count`.
  void commit(SeqId seq, uint32_t count, uint64_t timeline_value);
  /// Undoes reserve without commit (a step that failed), whether or not its encoder was submitted. `timeline_value` is the last one that may use the
  /// reserved pages; 0 if the encoder was dropped.
  void cancel(SeqId seq, uint64_t timeline_value);
  /// Forgets slots [length, old length). On error: invalid_argument (longer than now, or not holds_prefix(seq, length)), busy (between reserve and
  /// commit); unchanged.
  Status truncate(SeqId seq, uint32_t length, uint64_t timeline_value);
  /// Whether every group still has the pages of a sequence of `length` slots: a window that moved on has given some back.
  bool holds_prefix(SeqId seq, uint32_t length) const;
  /// 0 for an unknown sequence.
  uint32_t length(SeqId seq) const;

  /// Records the upload of the table entries of `seq` that changed since the last call. Call between reserve and the step's first kernel.
  /// On error: the encoder's, or out_of_device_memory where no reserve went before; the encoder must not be submitted, cancel() sets things right.
  Status upload_tables(SeqId seq, Encoder& encoder);
  /// What SequenceInfo of (seq, group) must hold, after upload_tables.
  SequenceInfo sequence_info(SeqId seq, uint32_t group) const;
  /// The host's table of (seq, group); empty for unknown ones. Valid until the sequence changes.
  std::span<const TablePage> pages(SeqId seq, uint32_t group) const;
  /// The bytes of a page in a table of this cache. Requires: entry.page is not none.
  BufferSlice page_slice(uint32_t group, const TablePage& entry) const;
  /// Every slab, and every table: what kernels may reach through tables. Valid until the cache changes.
  std::span<const BufferSlice> slabs() const;

  /// Gives back pages and slabs whose timeline value is reached.
  void collect(uint64_t completed_value);
  CacheMemory memory() const;
  /// Nothing for an unknown sequence or group.
  HeldPages held(SeqId seq, uint32_t group) const;
  /// Recomputes every invariant (cache/README.md) from scratch. On error: internal, naming the first broken one.
  Status check() const;

 private:
  struct State;
  explicit KvCache(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace quire
