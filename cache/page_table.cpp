#include "cache/page_table.hpp"

#include <algorithm>
#include <bit>

namespace quire {
namespace {

constexpr uint32_t kFirstEntryCount = 16;

bool same(const PageEntry& a, const PageEntry& b) { return a.page == b.page && a.formats == b.formats && a.reserved == b.reserved; }

}  // namespace

static_assert(sizeof(PageEntry) == 16);

void PageTable::push_back(const TablePage& page) {
  pages_.push_back(page);
  mark(size() - 1);
}

void PageTable::replace(uint32_t index, const TablePage& page) {
  pages_[index] = page;
  mark(index);
}

void PageTable::shrink(uint32_t size) {
  while (pages_.size() > size) {
    pages_.pop_back();
    mark(static_cast<uint32_t>(pages_.size()));
  }
}

void PageTable::mark(uint32_t index) {
  const bool none = changed_begin_ == changed_end_;
  changed_begin_ = none ? index : std::min(changed_begin_, index);
  changed_end_ = none ? index + 1 : std::max(changed_end_, index + 1);
}

PageEntry PageTable::entry(uint32_t index) const {
  if (index >= size() || pages_[index].page == PageId::none) return {};
  return {pages_[index].address, pages_[index].formats.word(), 0};
}

uint64_t PageTable::bytes_for(uint32_t entry_count) {
  if (entry_count == 0) return 0;
  return std::bit_ceil(uint64_t{std::max(entry_count, kFirstEntryCount)}) * sizeof(PageEntry);
}

Result<Buffer> PageTable::grown_buffer(Device& device, uint32_t entry_count) const {
  if (uint64_t{entry_count} * sizeof(PageEntry) <= buffer_bytes()) return Buffer();
  return device.create_buffer(bytes_for(entry_count), BufferUse::device, "page table");
}

void PageTable::adopt(Buffer buffer) {
  if (!buffer) return;
  buffer_ = std::move(buffer);
  uploaded_.assign(buffer_.size_bytes() / sizeof(PageEntry), PageEntry{});
  all_changed_ = true;
}

Status PageTable::upload(Encoder& encoder) {
  const auto capacity = static_cast<uint32_t>(uploaded_.size());
  // A shrunk table may have changed entries that never had room in the buffer: the device has nothing to forget there.
  const uint32_t end = all_changed_ ? capacity : std::min(changed_end_, capacity);
  uint32_t begin = all_changed_ ? 0 : changed_begin_;
  while (begin < end) {
    if (!all_changed_ && same(entry(begin), uploaded_[begin])) {
      ++begin;
      continue;
    }
    uint32_t run_end = begin;
    while (run_end < end && (all_changed_ || !same(entry(run_end), uploaded_[run_end]))) {
      uploaded_[run_end] = entry(run_end);
      ++run_end;
    }
    const std::span<const PageEntry> run(&uploaded_[begin], run_end - begin);
    if (Status status = encoder.upload(buffer_.slice(begin * sizeof(PageEntry), run.size_bytes()), std::as_bytes(run)); !status) {
      all_changed_ = true;
      return status;
    }
    begin = run_end;
  }
  changed_begin_ = changed_end_ = 0;
  all_changed_ = false;
  return {};
}

SequenceInfo PageTable::sequence_info() const { return {buffer_ ? buffer_.address() : 0, buffer_ ? size() : 0, 0}; }

Status PageTable::check() const {
  for (uint32_t i = 0; i < size(); ++i) {
    if (pages_[i].page == PageId::none && pages_[i] != TablePage{}) return make_error(Code::internal, "table entry %u is empty and has an address", i);
    if (pages_[i].page != PageId::none && pages_[i].address == 0) return make_error(Code::internal, "table entry %u has a page without address", i);
  }
  if (uploaded_.size() * sizeof(PageEntry) != buffer_bytes()) {
    return make_error(Code::internal, "a table buffer of %zu bytes has %zu recorded entries", static_cast<size_t>(buffer_bytes()), uploaded_.size());
  }
  if (all_changed_) return {};
  for (uint32_t i = 0; i < uploaded_.size(); ++i) {
    if (i >= changed_begin_ && i < changed_end_) continue;
    if (!same(entry(i), uploaded_[i])) return make_error(Code::internal, "table entry %u changed and is not marked for upload", i);
  }
  return {};
}

}  // namespace quire
