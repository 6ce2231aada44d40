#include "engine/platform/windows/system_error.hpp"

#include <algorithm>
#include <cinttypes>

#include "engine/platform/file.hpp"

namespace quire {
namespace {

/// A handle that closes itself.
class Handle {
 public:
  explicit Handle(HANDLE handle) : handle_(handle) {}
  ~Handle() { close(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  bool valid() const { return handle_ != INVALID_HANDLE_VALUE; }
  HANDLE get() const { return handle_; }
  void close() {
    if (valid()) ::CloseHandle(handle_);
    handle_ = INVALID_HANDLE_VALUE;
  }

 private:
  HANDLE handle_;
};

constexpr size_t kLargestTransfer = size_t{1} << 30;

Status write_all(HANDLE handle, std::span<const std::byte> content, const std::string& path) {
  size_t done = 0;
  while (done < content.size()) {
    DWORD wrote = 0;
    const auto wanted = static_cast<DWORD>(std::min(content.size() - done, kLargestTransfer));
    if (::WriteFile(handle, content.data() + done, wanted, &wrote, nullptr) == 0) return system_error("write", path, ::GetLastError());
    done += wrote;
  }
  if (::FlushFileBuffers(handle) == 0) return system_error("flush", path, ::GetLastError());
  return {};
}

}  // namespace

Result<std::vector<std::byte>> read_small_file(const std::string& path, uint64_t cap_bytes) {
  QUIRE_ASSIGN(const std::wstring wide, wide_path(path));
  const Handle file(::CreateFileW(wide.c_str(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr));
  if (!file.valid()) return system_error("open", path, ::GetLastError());
  LARGE_INTEGER measured{};
  if (::GetFileType(file.get()) != FILE_TYPE_DISK || ::GetFileSizeEx(file.get(), &measured) == 0) {
    return make_error(Code::io, "%s is not a regular file", path.c_str());
  }
  const auto size = static_cast<uint64_t>(measured.QuadPart);
  if (size > cap_bytes) {
    return make_error(Code::invalid_argument, "%s has %" PRIu64 " bytes and at most %" PRIu64 " are read", path.c_str(), size, cap_bytes);
  }
  std::vector<std::byte> content(static_cast<size_t>(size));
  size_t done = 0;
  while (done < content.size()) {
    DWORD got = 0;
    const auto wanted = static_cast<DWORD>(std::min(content.size() - done, kLargestTransfer));
    if (::ReadFile(file.get(), content.data() + done, wanted, &got, nullptr) == 0) return system_error("read", path, ::GetLastError());
    if (got == 0) return make_error(Code::io, "%s became shorter while it was read", path.c_str());
    done += got;
  }
  return content;
}

Status write_file_atomically(const std::string& path, std::span<const std::byte> content) {
  const std::string temporary = path + "." + std::to_string(::GetCurrentProcessId()) + "-" + std::to_string(::GetCurrentThreadId()) + ".tmp";
  QUIRE_ASSIGN(const std::wstring wide, wide_path(path));
  QUIRE_ASSIGN(const std::wstring wide_temporary, wide_path(temporary));
  Handle file(::CreateFileW(wide_temporary.c_str(), GENERIC_WRITE, 0, nullptr, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, nullptr));
  if (!file.valid()) return system_error("create a temporary file beside", path, ::GetLastError());
  Status status = write_all(file.get(), content, temporary);
  file.close();
  if (status.ok() && ::MoveFileExW(wide_temporary.c_str(), wide.c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) == 0) {
    status = system_error("replace", path, ::GetLastError());
  }
  if (!status.ok()) ::DeleteFileW(wide_temporary.c_str());
  return status;
}

Status make_folder(const std::string& path) {
  QUIRE_ASSIGN(const std::wstring wide, wide_path(path));
  if (::CreateDirectoryW(wide.c_str(), nullptr) != 0) return {};
  const DWORD reason = ::GetLastError();
  const DWORD attributes = ::GetFileAttributesW(wide.c_str());
  if (reason == ERROR_ALREADY_EXISTS && attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) return {};
  return system_error("create the folder", path, reason);
}

}  // namespace quire
