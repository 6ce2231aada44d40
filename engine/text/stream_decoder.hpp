// StreamDecoder: tokens in, text out, one at a time, and never half a UTF-8 character.
#pragma once

#include <cstdint>
#include <string>

#include "engine/text/tokenizer.hpp"
#include "engine/text/utf8.hpp"

namespace quire {

/// The tokenizer outlives it. Threads: one at a time.
class StreamDecoder {
 public:
  /// The first token begins a text: a space that the vocabulary puts before one is left out. To go on from a prompt, push its tokens first.
  /// SpecialTokens::ignore leaves control and unknown tokens out; parse writes their names.
  explicit StreamDecoder(const Tokenizer& tokenizer, SpecialTokens special = SpecialTokens::ignore) : tokenizer_(tokenizer), special_(special) {}

  /// The characters that this token completes: valid UTF-8, possibly none. Ids outside the vocabulary stand for nothing.
  std::string push(uint32_t id);
  /// What is left: an unfinished character becomes U+FFFD. The decoder is then as new.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  SpecialTokens special_;
  TextPosition position_ = TextPosition::beginning;
  Utf8Repair repair_;
};

}  // namespace quire
