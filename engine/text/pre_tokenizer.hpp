// PreTokenizer: splits a text into the words that byte-pair merges never cross, by the patterns that the model file names.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

namespace quire {

/// One row of the table of pre-tokenizers.
struct PreTokenizerFamily {
  std::string_view names;                      ///< of tokenizer.ggml.pre, separated by spaces
  std::span<const std::string_view> patterns;  ///< each splits the words that the one before it left
  bool whole_words;                            ///< a word that is itself a token is taken before any merge
  bool add_bos;                                ///< where the file does not say
};

std::span<const PreTokenizerFamily> pre_tokenizer_families();
/// Null: no row has that name.
const PreTokenizerFamily* find_pre_tokenizer_family(std::string_view name);

class PreTokenizer {
 public:
  /// `name` as in tokenizer.ggml.pre. On error: unsupported (names those that are known).
  static Result<PreTokenizer> create(std::string_view name);

  PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  const PreTokenizerFamily& family() const { return *family_; }

  /// Appends the ends of the words of `text`, ascending; the last is text.size(). Every byte is in exactly one word.
  /// A byte that is no part of valid UTF-8 is a word of its own. Time: linear in the text.
  /// On error: out_of_host_memory.
  Status split(std::string_view text, std::vector<size_t>& ends) const;

 private:
  struct Pattern;
  struct Matcher;
  /// Splits text[begin, end), which is valid UTF-8.
  void split_run(std::string_view text, size_t begin, size_t end, Matcher& matcher, std::vector<size_t>& ends) const;

  const PreTokenizerFamily* family_ = nullptr;
  std::vector<Pattern> patterns_;
};

}  // namespace quire
