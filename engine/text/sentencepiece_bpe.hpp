// SentencePieceBpe: byte-pair encoding as SentencePiece does it: no words; the pair whose token scores highest merges first, bytes where no token is.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/model/gguf_reader.hpp"
#include "engine/text/token_index.hpp"
#include "engine/text/vocabulary.hpp"

namespace quire {

/// The method: Kudo and Richardson, "SentencePiece" (2018), with the byte fallback of its version 0.1.9; the file's keys: ggml, docs/gguf.md.
class SentencePieceBpe {
 public:
  /// Reads the scores, brings the vocabulary's texts to what they stand for (U+2581 is a space, <0x41> a byte) and sets what the kind of
  /// tokenizer implies where the file does not say: a BOS, and a space before the text.
  /// On error: corrupt (scores missing or not numbers, a token twice, one of the 256 bytes without a token).
  static Result<SentencePieceBpe> create(const GgufFile& file, Vocabulary& vocabulary);

  /// Appends the ids of a text without special tokens. Control, unknown and byte tokens are never found by their names.
  /// A character is as long as its first byte says; what no token holds becomes its bytes' tokens. Time: O(n log n), whatever the text.
  Status encode(std::string_view text, std::vector<uint32_t>& ids) const;

 private:
  static constexpr uint32_t kNone = 0xffffffffu;
  struct Workspace;

  SentencePieceBpe() = default;
  Status read_bytes(const Vocabulary& vocabulary);
  uint32_t find(std::string_view text) const;

  TokenIndex tokens_;
  std::vector<float> scores_;
  std::array<uint32_t, 256> byte_ids_{};
  size_t longest_bytes_ = 0;  ///< of the tokens in tokens_
};

}  // namespace quire
