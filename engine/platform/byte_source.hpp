// Where a model's bytes come from: a file read with positioned reads, or a caller's callback (game archives). Never a mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/base/result.hpp"

namespace quire {

/// A fixed number of bytes that can be read at any offset. Threads: read_at may be called from several at once unless a class says otherwise.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size_bytes() const = 0;
  /// Fills all of `out` or fails. On error: invalid_argument (the range ends after size_bytes()), io (the source failed or has become shorter).
  virtual Status read_at(uint64_t offset_bytes, std::span<std::byte> out) const = 0;
};

/// A regular file. It is never mapped: a file that shrinks while it is open makes read_at fail and harms nothing else.
class FileSource final : public ByteSource {
 public:
  /// On error: invalid_argument (an empty path or one with a NUL), not_found, io (unreadable, not a regular file, empty).
  static Result<std::unique_ptr<FileSource>> open(const std::string& path);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  uint64_t size_bytes() const override { return size_bytes_; }
  Status read_at(uint64_t offset_bytes, std::span<std::byte> out) const override;

 private:
  FileSource(std::intptr_t handle, uint64_t size_bytes, std::string path);
  std::intptr_t handle_;
  uint64_t size_bytes_;
  std::string path_;
};

/// Bytes behind a C callback. Threads: as the callback.
class CallbackSource final : public ByteSource {
 public:
  /// Copies exactly `size` bytes at `offset` to `out` and returns 0; anything else is a failure. Never asked for bytes past size_bytes.
  using ReadAt = int (*)(void* user, uint64_t offset, void* out, size_t size);

  /// On error: invalid_argument (no callback, or size_bytes is 0). Requires: `user` outlives the source.
  static Result<std::unique_ptr<CallbackSource>> create(ReadAt callback, void* user, uint64_t size_bytes);

  uint64_t size_bytes() const override { return size_bytes_; }
  Status read_at(uint64_t offset_bytes, std::span<std::byte> out) const override;

 private:
  CallbackSource(ReadAt callback, void* user, uint64_t size_bytes) : read_at_(callback), user_(user), size_bytes_(size_bytes) {}
  ReadAt read_at_;
  void* user_;
  uint64_t size_bytes_;
};

/// Bytes already in memory. Requires: the bytes outlive the source.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  uint64_t size_bytes() const override { return bytes_.size(); }
  Status read_at(uint64_t offset_bytes, std::span<std::byte> out) const override;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace quire
