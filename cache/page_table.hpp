// PageTable: which pages hold one sequence's slots in one cache group, on the host and as the PageEntry array that kernels follow.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/page_format.hpp"
#include "cache/page_pool.hpp"
#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire {

/// One entry of a table on the host.
struct TablePage {
  PageId page = PageId::none;  ///< none: left the window, or never held
  uint32_t pool = 0;           ///< of the group: pages of another byte size live in another pool
  PageFormats formats;
  uint64_t address = 0;
  bool operator==(const TablePage&) const = default;
};

/// The device's copy is written only where it changed, and only through upload(). Entries without a page are zero there.
class PageTable {
 public:
  std::span<const TablePage> pages() const { return pages_; }
  uint32_t size() const { return static_cast<uint32_t>(pages_.size()); }
  void push_back(const TablePage& page);
  /// Requires: index < size().
  void replace(uint32_t index, const TablePage& page);
  /// The entry becomes empty. Requires: index < size().
  void drop(uint32_t index) { replace(index, TablePage{}); }
  /// Requires: size <= size().
  void shrink(uint32_t size);

  /// Bytes of the buffer of a table that has grown to `entry_count` entries.
  static uint64_t bytes_for(uint32_t entry_count);
  /// A buffer with room for `entry_count` entries, or an empty one if the present buffer has it. Changes nothing: adopt() does.
  Result<Buffer> grown_buffer(Device& device, uint32_t entry_count) const;
  /// Takes what grown_buffer gave; the old buffer is retired. An empty `buffer` changes nothing.
  void adopt(Buffer buffer);
  /// The device may not have seen what was recorded: the next upload writes the whole buffer.
  void forget_uploads() { all_changed_ = true; }
  /// Records the entries that changed since the last upload, run by run. Requires: the buffer has room for size() entries.
  Status upload(Encoder& encoder);

  /// Zero without a buffer.
  SequenceInfo sequence_info() const;
  uint64_t buffer_bytes() const { return buffer_ ? buffer_.size_bytes() : 0; }
  BufferSlice buffer_slice() const { return buffer_ ? buffer_.slice() : BufferSlice{}; }
  /// On error: internal (the entries or the record of the device's copy do not agree with the pages).
  Status check() const;

 private:
  PageEntry entry(uint32_t index) const;
  void mark(uint32_t index);

  std::vector<TablePage> pages_;
  Buffer buffer_;
  std::vector<PageEntry> uploaded_;  ///< what the device's copy holds once everything recorded has run; one an entry of the buffer
  uint32_t changed_begin_ = 0;       ///< entries outside [changed_begin_, changed_end_) are as uploaded
  uint32_t changed_end_ = 0;
  bool all_changed_ = false;
};

}  // namespace quire
