// BoundedReader: little-endian values from a ByteSource in order, through one buffer, never past the end. The only way the parser reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/platform/byte_source.hpp"

namespace quire {

class BoundedReader {
 public:
  explicit BoundedReader(const ByteSource& source) : source_(source), size_bytes_(source.size_bytes()) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return size_bytes_ - position_; }

  /// On error: corrupt (fewer bytes are left), io.
  Status read(std::span<std::byte> out) {
    if (out.size() > remaining()) return past_end(out.size());
    while (!out.empty()) {
      if (next_ == chunk_.size()) QUIRE_TRY(fill());
      const size_t count = std::min(out.size(), chunk_.size() - next_);
      std::memcpy(out.data(), chunk_.data() + next_, count);
      next_ += count;
      position_ += count;
      out = out.subspan(count);
    }
    return {};
  }

  template <class T>
  Status read_value(T& value) {
    std::byte bytes[sizeof(T)];
    QUIRE_TRY(read(bytes));
    std::memcpy(&value, bytes, sizeof(T));
    return {};
  }

 private:
  Error past_end(size_t wanted) const {
    return make_error(Code::corrupt, "the file ends after %llu bytes; %zu more are needed at byte %llu", static_cast<unsigned long long>(size_bytes_),
                      wanted, static_cast<unsigned long long>(position_));
  }

  Status fill() {
    constexpr uint64_t kChunkBytes = uint64_t{256} << 10;
    chunk_.resize(static_cast<size_t>(std::min(kChunkBytes, remaining())));
    next_ = 0;
    return source_.read_at(position_, chunk_);
  }

  const ByteSource& source_;
  uint64_t size_bytes_;
  uint64_t position_ = 0;
  std::vector<std::byte> chunk_;
  size_t next_ = 0;
};

}  // namespace quire
