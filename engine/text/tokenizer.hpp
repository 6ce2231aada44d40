// Tokenizer: text to token ids and back, as the model file describes it. The front for every kind of vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/model/gguf_reader.hpp"
#include "engine/text/byte_level_bpe.hpp"
#include "engine/text/sentencepiece_bpe.hpp"
#include "engine/text/vocabulary.hpp"

namespace quire {

/// Whether control tokens (<|im_end|>, ...) are recognised in a text or read as ordinary characters.
enum class SpecialTokens : uint8_t { ignore, parse };

/// A piece of text that a template wrote (trusted: control tokens are recognised) or a user did (never).
struct TextSpan {
  std::string text;
  SpecialTokens special = SpecialTokens::ignore;
};

/// Whether a text stands alone or goes on from tokens before it: it decides whether a vocabulary puts a space before it.
enum class TextPosition : uint8_t { beginning, continuation };

/// Move-only and immutable; every call is const. Threads: any number at once.
class Tokenizer {
 public:
  /// On error: unsupported (model or pre-tokenizer, by name), corrupt (a vocabulary that breaks its rules).
  static Result<Tokenizer> create(const GgufFile& file);

  /// The ids of a text, without a BOS. Any bytes are accepted; invalid UTF-8 passes through as bytes.
  /// Tokens that the vocabulary calls user-defined are whole in any text; control tokens only where they are asked for.
  /// On error: invalid_argument (over 1 GiB of text), out_of_host_memory.
  Result<std::vector<uint32_t>> encode(std::string_view text, SpecialTokens special) const;
  /// As encode() of the joined text, except that control tokens are recognised only inside spans that ask for them.
  Result<std::vector<uint32_t>> encode(std::span<const TextSpan> spans, TextPosition position = TextPosition::beginning) const;

  uint32_t vocabulary_size() const { return vocabulary_.size(); }
  /// The bytes a token stands for; of a control token its name. Empty for an id outside the vocabulary.
  std::string_view token_bytes(uint32_t id) const { return vocabulary_.text(id); }
  TokenType token_type(uint32_t id) const { return vocabulary_.type(id); }
  /// The text of many tokens from its beginning, control and unknown tokens left out.
  std::string decode(std::span<const uint32_t> ids) const;
  /// What a token adds to a text. Empty for an id outside the vocabulary.
  std::string_view token_text(uint32_t id, TextPosition position) const;
  /// Whether a text shows nothing of the token: it has a name, but stands for no text.
  bool is_silent(uint32_t id) const { return token_type(id) == TokenType::control || token_type(id) == TokenType::unknown; }

  std::optional<uint32_t> bos() const { return vocabulary_.bos; }
  std::optional<uint32_t> eos() const { return vocabulary_.eos; }
  std::optional<uint32_t> eot() const { return vocabulary_.eot; }
  /// Whether a prompt begins with bos().
  bool add_bos() const { return vocabulary_.add_bos; }
  /// Whether a model that produces this token has finished its answer.
  bool is_end_of_generation(uint32_t id) const { return vocabulary_.is_end_of_generation(id); }

  using Algorithm = std::variant<ByteLevelBpe, SentencePieceBpe>;
  /// Of parts made for each other; create() is how they are made from a file.
  Tokenizer(Vocabulary vocabulary, Algorithm algorithm);

 private:
  /// Where a span of a joined text ends.
  struct SpanEnd {
    size_t end_bytes;
    SpecialTokens special;
  };
  /// Requires: the last span ends with the text.
  Result<std::vector<uint32_t>> encode_joined(std::string_view text, std::span<const SpanEnd> spans, TextPosition position) const;
  Status encode_plain(std::string_view text, TextPosition position, std::vector<uint32_t>& ids) const;

  Vocabulary vocabulary_;
  Algorithm algorithm_;
};

}  // namespace quire
