#include "engine/platform/byte_source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>

#include "engine/platform/posix/system_error.hpp"

namespace quire {

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& path) {
  if (path.empty()) return make_error(Code::invalid_argument, "the path of the file is empty");
  if (path.find('\0') != std::string::npos) return make_error(Code::invalid_argument, "the path of the file contains a NUL");
  // O_NONBLOCK: opening a FIFO without a writer would wait for one.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return system_error("open", path, errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int reason = errno;
    ::close(fd);
    return system_error("read the size of", path, reason);
  }
  if (!S_ISREG(info.st_mode) || info.st_size <= 0) {
    ::close(fd);
    return make_error(Code::io, S_ISREG(info.st_mode) ? "%s is empty" : "%s is not a regular file", path.c_str());
  }
  return std::unique_ptr<FileSource>(new FileSource(fd, static_cast<uint64_t>(info.st_size), path));
}

FileSource::FileSource(std::intptr_t handle, uint64_t size_bytes, std::string path)
    : handle_(handle), size_bytes_(size_bytes), path_(std::move(path)) {}

FileSource::~FileSource() { ::close(static_cast<int>(handle_)); }

Status FileSource::read_at(uint64_t offset_bytes, std::span<std::byte> out) const {
  if (offset_bytes > size_bytes_ || out.size() > size_bytes_ - offset_bytes) {
    return make_error(Code::invalid_argument, "a read of %zu bytes at %" PRIu64 " ends after the %" PRIu64 " bytes of %s", out.size(), offset_bytes,
                      size_bytes_, path_.c_str());
  }
  // Linux reads at most 2 GiB less one page a call; 1 GiB keeps the remainder of a large read aligned.
  constexpr size_t kLargestRead = size_t{1} << 30;
  size_t done = 0;
  while (done < out.size()) {
    const size_t wanted = std::min(out.size() - done, kLargestRead);
    const ssize_t got = ::pread(static_cast<int>(handle_), out.data() + done, wanted, static_cast<off_t>(offset_bytes + done));
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (got == 0) {
      return make_error(Code::io, "%s ends at byte %" PRIu64 " and had %" PRIu64 " bytes when it was opened", path_.c_str(), offset_bytes + done,
                        size_bytes_);
    } else if (errno != EINTR) {
      return system_error("read", path_, errno);
    }
  }
  return {};
}

}  // namespace quire
