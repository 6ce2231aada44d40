#include "engine/platform/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "engine/platform/posix/system_error.hpp"

namespace quire {
namespace {

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  /// The result of close(2): on some file systems only it reports a failed write.
  int close() {
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd);
  }

 private:
  int fd_;
};

Status write_all(int fd, std::span<const std::byte> content, const std::string& path) {
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t wrote = ::write(fd, content.data() + done, content.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return system_error("write", path, errno);
    done += static_cast<size_t>(wrote);
  }
  return {};
}

Status write_and_close(Descriptor& file, std::span<const std::byte> content, const std::string& path) {
  QUIRE_TRY(write_all(file.get(), content, path));
  // The data must be on disk before the rename is, or a power cut leaves an empty file under the final name.
  if (::fsync(file.get()) != 0) return system_error("flush", path, errno);
  if (file.close() != 0) return system_error("close", path, errno);
  return {};
}

}  // namespace

Result<std::vector<std::byte>> read_small_file(const std::string& path, uint64_t cap_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return system_error("open", path, errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return system_error("read the size of", path, errno);
  if (!S_ISREG(info.st_mode)) return make_error(Code::io, "%s is not a regular file", path.c_str());
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > cap_bytes) {
    return make_error(Code::invalid_argument, "%s has %" PRIu64 " bytes and at most %" PRIu64 " are read", path.c_str(), size, cap_bytes);
  }
  std::vector<std::byte> content(static_cast<size_t>(size));
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = ::read(file.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("read", path, errno);
    if (got == 0) return make_error(Code::io, "%s became shorter while it was read", path.c_str());
    done += static_cast<size_t>(got);
  }
  return content;
}

Status write_file_atomically(const std::string& path, std::span<const std::byte> content) {
  std::string temporary = path + ".XXXXXX";
  Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) return system_error("create a temporary file beside", path, errno);
  Status status = write_and_close(file, content, temporary);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) status = system_error("replace", path, errno);
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

Status make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return {};
  const int reason = errno;
  struct stat info {};
  if (reason == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  return system_error("create the folder", path, reason);
}

}  // namespace quire
