// TokenIndex: from a token's bytes to its id, by binary search: no input can make it slow, as a hash table's collisions could.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quire {

class TokenIndex {
 public:
  /// Adds a token. Requires: build() was not called yet.
  void add(std::string_view text, uint32_t id);
  /// Orders the tokens; of equal texts the lowest id stays. Returns one of the ids that did not, if there are any.
  std::optional<uint32_t> build();
  /// Requires: build() was called after the last add().
  std::optional<uint32_t> find(std::string_view text) const;

 private:
  struct Entry {
    uint64_t prefix;  ///< the first eight bytes, big-endian, zero-padded: ordered as the text is
    uint64_t begin;
    uint32_t size_bytes;
    uint32_t id;
  };
  std::string_view text_of(const Entry& entry) const { return std::string_view(texts_).substr(static_cast<size_t>(entry.begin), entry.size_bytes); }
  std::string texts_;
  std::vector<Entry> entries_;
};

}  // namespace quire
