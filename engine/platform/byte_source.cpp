#include "engine/platform/byte_source.hpp"

#include <cinttypes>
#include <cstring>

namespace quire {
namespace {

Status check_range(uint64_t offset_bytes, uint64_t count, uint64_t size_bytes) {
  if (offset_bytes <= size_bytes && count <= size_bytes - offset_bytes) return {};
  return make_error(Code::invalid_argument, "a read of %" PRIu64 " bytes at %" PRIu64 " ends after the source's %" PRIu64 " bytes", count,
                    offset_bytes, size_bytes);
}

}  // namespace

Result<std::unique_ptr<CallbackSource>> CallbackSource::create(ReadAt callback, void* user, uint64_t size_bytes) {
  if (callback == nullptr) return make_error(Code::invalid_argument, "the read callback is null");
  if (size_bytes == 0) return make_error(Code::invalid_argument, "the size of the source is 0 bytes");
  return std::unique_ptr<CallbackSource>(new CallbackSource(callback, user, size_bytes));
}

Status CallbackSource::read_at(uint64_t offset_bytes, std::span<std::byte> out) const {
  QUIRE_TRY(check_range(offset_bytes, out.size(), size_bytes_));
  if (out.empty()) return {};
  const int result = read_at_(user_, offset_bytes, out.data(), out.size());
  if (result != 0) {
    return make_error(Code::io, "the read callback answered %d for %zu bytes at %" PRIu64, result, out.size(), offset_bytes);
  }
  return {};
}

Status MemorySource::read_at(uint64_t offset_bytes, std::span<std::byte> out) const {
  QUIRE_TRY(check_range(offset_bytes, out.size(), bytes_.size()));
  if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset_bytes, out.size());
  return {};
}

}  // namespace quire
