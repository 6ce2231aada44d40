// KvCache: the paged keys and values of all sequences of one model on one device. DRAFT of the external interface (its owner completes it).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/cache_group.hpp"
#include "cache/page_pool.hpp"
#include "engine/base/result.hpp"
#include "engine/device/device.hpp"

namespace quire {

class KvCache {
 public:
  /// `budget` is shared by every cache of an engine and outlives them. Takes no device memory yet.
  static Result<KvCache> create(Device& device, std::vector<CacheGroup> groups, CacheBudget& budget, const KvCacheOptions& options);

  /// `formats[g]` is what new pages of group g are written in.
  Result<SeqId> create_sequence(std::span<const PageFormats> formats);
  /// Pages go back to the pool when the device has passed `timeline_value`.
  void free_sequence(SeqId seq, uint64_t timeline_value);

  /// Makes slots [length, length + count) of every group writable: takes pages, copies shared ones first (recorded in `encoder`).
  /// On error: out_of_pages, out_of_device_memory; nothing changed.
  Status reserve(SeqId seq, uint32_t count, Encoder& encoder);
  /// The reserved slots hold keys and values from `timeline_value` on: length grows by count, pages that left a window are given back then.
  void commit(SeqId seq, uint32_t count, uint64_t timeline_value);
  /// Undoes reserve without commit (a step that failed).
  void cancel(SeqId seq, uint64_t timeline_value);
  /// Forgets slots [length, old length). On error: invalid_argument (longer than now, or a windowed group no longer holds what is needed).
  Status truncate(SeqId seq, uint32_t length, uint64_t timeline_value);
  uint32_t length(SeqId seq) const;

  /// Records the upload of the table entries of `seq` that changed since the last call. Call before the step's first kernel.
  Status upload_tables(SeqId seq, Encoder& encoder);
  /// What SequenceInfo of (seq, group) must hold.
  SequenceInfo sequence_info(SeqId seq, uint32_t group) const;
  /// Every slab, and every table: what kernels may reach through tables.
  std::span<const BufferSlice> slabs() const;

  /// Gives back pages and slabs whose timeline value is reached.
  void collect(uint64_t completed_value);
  CacheMemory memory() const;
  /// Recomputes every invariant from scratch. On error: internal, naming the first broken one.
  Status check() const;
};

}  // namespace quire
