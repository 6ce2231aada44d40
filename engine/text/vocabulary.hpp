// Vocabulary: what every tokenizer's token list has in common: texts, types, the special ids, and the search for special tokens.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/model/gguf_reader.hpp"

namespace quire {

/// Numbers as in tokenizer.ggml.token_type.
enum class TokenType : uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

class Vocabulary {
 public:
  /// On error: corrupt (names the key or token, value and bound).
  static Result<Vocabulary> read(const GgufFile& file);

  uint32_t size() const { return static_cast<uint32_t>(types_.size()); }
  std::string_view text(uint32_t id) const;
  TokenType type(uint32_t id) const { return id < types_.size() ? types_[id] : TokenType::unused; }
  bool is_end_of_generation(uint32_t id) const;

  /// Replaces the texts of all tokens: one after another, and where each ends. The texts of special tokens stay as they are.
  /// Requires: ends.size() == size().
  void set_texts(std::string texts, std::vector<uint64_t> ends);

  struct SpecialMatch {
    uint32_t id = 0;
    size_t size_bytes = 0;
  };
  /// The longest special token that `rest` begins with: a user-defined one, or a control token of at most `control_bytes`.
  /// Requires: !rest.empty().
  std::optional<SpecialMatch> match_special(std::string_view rest, size_t control_bytes) const;

  std::optional<uint32_t> bos, eos, eot, unknown;
  bool add_bos = false;
  /// A text is encoded as if a space stood before it, and what follows a special token too; decoding takes the first one away.
  bool space_prefix = false;

 private:
  Status read_special_ids(const GgufFile& file);
  void collect_special_tokens();
  /// Not to be recognised in a user's text: all but user-defined tokens, and of these the ones that end an answer or begin a prompt.
  bool needs_trust(uint32_t id) const;

  std::string texts_;                         ///< of all tokens, one after another
  std::vector<uint64_t> ends_;
  std::vector<TokenType> types_;
  std::vector<uint32_t> special_;             ///< control, unknown and user-defined tokens by text
  std::array<uint32_t, 257> special_begin_{}; ///< of the first byte, in special_
  std::vector<uint32_t> end_of_generation_;   ///< ascending
};

}  // namespace quire
