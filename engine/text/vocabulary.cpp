#include "engine/text/vocabulary.hpp"

#include <algorithm>
#include <cinttypes>

namespace quire {
namespace {

constexpr size_t kMostTokens = size_t{1} << 24;
/// A longer control token could only make the search for it slow.
constexpr size_t kLargestSpecialBytes = 1024;

/// Control tokens that end an answer in some family, when the file does not name them by a key; the last line's begin another file in code models.
constexpr std::string_view kEndNames[] = {
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>",
    "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_utterance>", "<｜end▁of▁sentence｜>",
    "<|fim_pad|>", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<reponame>", "<|file_sep|>",
};

bool is_special(TokenType type) { return type == TokenType::control || type == TokenType::unknown || type == TokenType::user_defined; }

}  // namespace

Result<Vocabulary> Vocabulary::read(const GgufFile& file) {
  Vocabulary vocabulary;
  QUIRE_ASSIGN(const StringArray tokens, file.get_strings("tokenizer.ggml.tokens"));
  if (tokens.size() == 0 || tokens.size() > kMostTokens) {
    return make_error(Code::corrupt, "the vocabulary has %zu tokens; 1 to %zu are possible", tokens.size(), kMostTokens);
  }
  vocabulary.types_.assign(tokens.size(), TokenType::normal);
  if (file.has("tokenizer.ggml.token_type")) {
    QUIRE_ASSIGN(const std::vector<int32_t> types, file.get_i32_array("tokenizer.ggml.token_type"));
    if (types.size() != tokens.size()) {
      return make_error(Code::corrupt, "tokenizer.ggml.token_type has %zu elements for %zu tokens", types.size(), tokens.size());
    }
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] < 1 || types[i] > 6) return make_error(Code::corrupt, "token %zu has the type %" PRId32 "; 1 to 6 are possible", i, types[i]);
      vocabulary.types_[i] = static_cast<TokenType>(types[i]);
    }
  }
  vocabulary.ends_.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (is_special(vocabulary.types_[i]) && tokens[i].size() > kLargestSpecialBytes) {
      return make_error(Code::corrupt, "the special token %zu has %zu bytes; at most %zu are possible", i, tokens[i].size(), kLargestSpecialBytes);
    }
    vocabulary.texts_ += tokens[i];
    vocabulary.ends_.push_back(vocabulary.texts_.size());
  }
  QUIRE_TRY(vocabulary.read_special_ids(file));
  vocabulary.collect_special_tokens();
  return vocabulary;
}

Status Vocabulary::read_special_ids(const GgufFile& file) {
  const auto read_id = [&](std::string_view key, std::optional<uint32_t>& id) -> Status {
    if (!file.has(key)) return {};
    QUIRE_ASSIGN(const uint32_t value, file.get_u32(key));
    if (value >= size()) {
      return make_error(Code::corrupt, "%s is %" PRIu32 "; the vocabulary has %" PRIu32 " tokens", std::string(key).c_str(), value, size());
    }
    id = value;
    return {};
  };
  std::optional<uint32_t> eom;
  QUIRE_TRY(read_id("tokenizer.ggml.bos_token_id", bos));
  QUIRE_TRY(read_id("tokenizer.ggml.eos_token_id", eos));
  QUIRE_TRY(read_id("tokenizer.ggml.eot_token_id", eot));
  QUIRE_TRY(read_id("tokenizer.ggml.eom_token_id", eom));
  QUIRE_TRY(read_id("tokenizer.ggml.unknown_token_id", unknown));
  QUIRE_ASSIGN(add_bos, file.get_bool_or("tokenizer.ggml.add_bos_token", false));
  for (const auto& id : {eos, eot, eom}) {
    if (id) end_of_generation_.push_back(*id);
  }
  for (uint32_t id = 0; id < size(); ++id) {
    const bool named = std::find(std::begin(kEndNames), std::end(kEndNames), text(id)) != std::end(kEndNames);
    if (named && (types_[id] == TokenType::control || types_[id] == TokenType::user_defined)) end_of_generation_.push_back(id);
  }
  std::sort(end_of_generation_.begin(), end_of_generation_.end());
  end_of_generation_.erase(std::unique(end_of_generation_.begin(), end_of_generation_.end()), end_of_generation_.end());
  return {};
}

void Vocabulary::collect_special_tokens() {
  for (uint32_t id = 0; id < size(); ++id) {
    if (is_special(types_[id]) && !text(id).empty()) special_.push_back(id);
  }
  // Of equal texts the lowest id comes first and is the one that is found.
  std::stable_sort(special_.begin(), special_.end(), [this](uint32_t a, uint32_t b) { return text(a) < text(b); });
  const auto same = [this](uint32_t a, uint32_t b) { return text(a) == text(b); };
  special_.erase(std::unique(special_.begin(), special_.end(), same), special_.end());
  for (size_t first = 0; first < 256; ++first) {
    const auto begin = std::lower_bound(special_.begin(), special_.end(), first,
                                        [this](uint32_t id, size_t byte) { return static_cast<uint8_t>(text(id)[0]) < byte; });
    special_begin_[first] = static_cast<uint32_t>(begin - special_.begin());
  }
  special_begin_[256] = static_cast<uint32_t>(special_.size());
}

std::string_view Vocabulary::text(uint32_t id) const {
  if (id >= ends_.size()) return {};
  const uint64_t begin = id == 0 ? 0 : ends_[id - 1];
  return std::string_view(texts_).substr(static_cast<size_t>(begin), static_cast<size_t>(ends_[id] - begin));
}

void Vocabulary::set_texts(std::string texts, std::vector<uint64_t> ends) {
  texts_ = std::move(texts);
  ends_ = std::move(ends);
}

bool Vocabulary::is_end_of_generation(uint32_t id) const {
  return std::binary_search(end_of_generation_.begin(), end_of_generation_.end(), id);
}

bool Vocabulary::needs_trust(uint32_t id) const { return types_[id] != TokenType::user_defined || is_end_of_generation(id) || bos == id; }

std::optional<Vocabulary::SpecialMatch> Vocabulary::match_special(std::string_view rest, size_t control_bytes) const {
  const auto first = static_cast<uint8_t>(rest[0]);
  auto low = special_.begin() + special_begin_[first];
  auto high = special_.begin() + special_begin_[first + 1u];
  std::optional<SpecialMatch> longest;
  // The candidates share the first `depth` bytes with the text; each round narrows them by one byte more.
  for (size_t depth = 1; low != high; ++depth) {
    if (text(*low).size() == depth) {
      if (depth <= control_bytes || !needs_trust(*low)) longest = SpecialMatch{*low, depth};
      ++low;
    }
    if (depth == rest.size()) break;
    const auto wanted = static_cast<uint8_t>(rest[depth]);
    const auto byte_at = [&](uint32_t id) { return static_cast<uint8_t>(text(id)[depth]); };
    low = std::lower_bound(low, high, wanted, [&](uint32_t id, uint8_t byte) { return byte_at(id) < byte; });
    high = std::upper_bound(low, high, wanted, [&](uint8_t byte, uint32_t id) { return byte < byte_at(id); });
  }
  return longest;
}

}  // namespace quire
