#include "engine/platform/windows/system_error.hpp"

#include <algorithm>
#include <cinttypes>

#include "engine/platform/byte_source.hpp"

namespace quire {
namespace {

HANDLE as_handle(std::intptr_t value) { return reinterpret_cast<HANDLE>(value); }

}  // namespace

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& path) {
  QUIRE_ASSIGN(const std::wstring wide, wide_path(path));
  const HANDLE handle = ::CreateFileW(wide.c_str(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (handle == INVALID_HANDLE_VALUE) return system_error("open", path, ::GetLastError());
  LARGE_INTEGER size{};
  const bool regular = ::GetFileType(handle) == FILE_TYPE_DISK;
  const bool sized = regular && ::GetFileSizeEx(handle, &size) != 0;
  if (!sized || size.QuadPart <= 0) {
    ::CloseHandle(handle);
    return make_error(Code::io, sized ? "%s is empty" : "%s is not a regular file", path.c_str());
  }
  return std::unique_ptr<FileSource>(new FileSource(reinterpret_cast<std::intptr_t>(handle), static_cast<uint64_t>(size.QuadPart), path));
}

FileSource::FileSource(std::intptr_t handle, uint64_t size_bytes, std::string path)
    : handle_(handle), size_bytes_(size_bytes), path_(std::move(path)) {}

FileSource::~FileSource() { ::CloseHandle(as_handle(handle_)); }

Status FileSource::read_at(uint64_t offset_bytes, std::span<std::byte> out) const {
  if (offset_bytes > size_bytes_ || out.size() > size_bytes_ - offset_bytes) {
    return make_error(Code::invalid_argument, "a read of %zu bytes at %" PRIu64 " ends after the %" PRIu64 " bytes of %s", out.size(), offset_bytes,
                      size_bytes_, path_.c_str());
  }
  constexpr size_t kLargestRead = size_t{1} << 30;
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = offset_bytes + done;
    OVERLAPPED where{};
    where.Offset = static_cast<DWORD>(at & 0xffffffffu);
    where.OffsetHigh = static_cast<DWORD>(at >> 32);
    DWORD got = 0;
    const auto wanted = static_cast<DWORD>(std::min(out.size() - done, kLargestRead));
    if (::ReadFile(as_handle(handle_), out.data() + done, wanted, &got, &where) == 0) {
      const DWORD reason = ::GetLastError();
      if (reason != ERROR_HANDLE_EOF) return system_error("read", path_, reason);
      got = 0;
    }
    if (got == 0) {
      return make_error(Code::io, "%s ends at byte %" PRIu64 " and had %" PRIu64 " bytes when it was opened", path_.c_str(), at, size_bytes_);
    }
    done += got;
  }
  return {};
}

}  // namespace quire
