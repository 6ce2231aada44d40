// ByteLevelBpe: byte-pair encoding over bytes as GPT-2 does it: split by patterns, then merge pairs in the order of their rank.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/model/gguf_reader.hpp"
#include "engine/text/pre_tokenizer.hpp"
#include "engine/text/token_index.hpp"
#include "engine/text/vocabulary.hpp"

namespace quire {

class ByteLevelBpe {
 public:
  /// Decodes the vocabulary's texts from the printable alphabet of GPT-2 to bytes and reads the merges.
  /// Merges that name unknown tokens are left out. On error: unsupported (pre-tokenizer, by name), corrupt.
  static Result<ByteLevelBpe> create(const GgufFile& file, Vocabulary& vocabulary);

  /// Appends the ids of a text without special tokens. A byte that the vocabulary lacks becomes its unknown token, or nothing if it has none.
  /// Time: O(n log n), whatever the text. On error: out_of_host_memory.
  Status encode(std::string_view text, std::vector<uint32_t>& ids) const;

  const PreTokenizerFamily& pre_tokenizer() const { return pre_tokenizer_.family(); }

 private:
  static constexpr uint32_t kNone = 0xffffffffu;
  struct Merge {
    uint32_t left;
    uint32_t right;
    uint32_t rank;    ///< lowest first
    uint32_t merged;
  };
  struct Workspace;

  ByteLevelBpe() = default;
  Status read_merges(const GgufFile& file, const TokenIndex& index);
  const Merge* find_merge(uint32_t left, uint32_t right) const;
  void encode_word(std::string_view word, Workspace& work, std::vector<uint32_t>& ids) const;

  PreTokenizer pre_tokenizer_;
  std::array<uint32_t, 256> byte_ids_{};
  uint32_t unknown_ = kNone;
  TokenIndex words_;                   ///< whole words, where the family takes them
  std::vector<uint32_t> merge_begin_;  ///< of a left id, in merges_
  std::vector<Merge> merges_;          ///< by left, then right
};

}  // namespace quire
