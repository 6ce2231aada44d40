#include "engine/text/sentencepiece_bpe.hpp"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <optional>
#include <string>

#include "engine/text/merge_queue.hpp"

namespace quire {
namespace {

/// U+2581, which stands for a space.
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string result;
  result.reserve(text.size());
  while (true) {
    const size_t found = text.find(what);
    result += text.substr(0, found);
    if (found == text.npos) return result;
    result += by;
    text.remove_prefix(found + what.size());
  }
}

/// The byte that a token named <0x41> stands for.
std::optional<uint8_t> named_byte(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return std::nullopt;
  const size_t high = kDigits.find(name[3]), low = kDigits.find(name[4]);
  if (high == kDigits.npos || low == kDigits.npos) return std::nullopt;
  return static_cast<uint8_t>(high * 16 + low);
}

/// What a character's first byte says about its length; a byte that begins none stands alone.
size_t promised_bytes(char first) {
  const auto byte = static_cast<uint8_t>(first);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

/// What encoding one text needs.
struct SentencePieceBpe::Workspace {
  struct Symbol {
    uint32_t begin;
    uint32_t size_bytes;  ///< 0: taken into its left neighbour
    uint32_t previous;
    uint32_t next;
    uint32_t id;          ///< kNone: no token
  };
  /// A pair that is a token. It is stale when one of its symbols has changed since.
  struct Candidate {
    float score;
    uint32_t left;
    uint32_t right;
    uint32_t size_bytes;
    uint32_t merged;
    /// Highest score first, then leftmost.
    bool operator<(const Candidate& other) const { return score != other.score ? score < other.score : left > other.left; }
  };
  /// The answer of the last search for a pair of tokens that fell on this place.
  struct Memory {
    uint32_t left = kNone;
    uint32_t right = kNone;
    uint32_t merged = kNone;
  };
  static constexpr size_t kMemories = size_t{1} << 14;

  const SentencePieceBpe& bpe;
  std::string_view text;
  std::vector<Symbol> symbols;
  MergeQueue<Candidate> candidates;
  std::vector<Memory> memories;

  void split_characters() {
    for (size_t at = 0; at < text.size();) {
      const size_t size = std::min(promised_bytes(text[at]), text.size() - at);
      const auto index = static_cast<uint32_t>(symbols.size());
      symbols.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(size), index == 0 ? kNone : index - 1, index + 1, bpe.find(text.substr(at, size))});
      at += size;
    }
    if (!symbols.empty()) symbols.back().next = kNone;
  }

  uint32_t find_pair(const Symbol& left, const Symbol& right) {
    const size_t size = size_t{left.size_bytes} + right.size_bytes;
    if (size > bpe.longest_bytes_) return kNone;
    const std::string_view joined = text.substr(left.begin, size);
    if (left.id == kNone || right.id == kNone) return bpe.find(joined);
    Memory& memory = memories[(left.id * 2654435761u ^ right.id * 2246822519u) >> 18];
    if (memory.left != left.id || memory.right != right.id) memory = {left.id, right.id, bpe.find(joined)};
    return memory.merged;
  }

  std::optional<Candidate> candidate(uint32_t left, uint32_t right) {
    if (left == kNone || right == kNone) return std::nullopt;
    const uint32_t merged = find_pair(symbols[left], symbols[right]);
    if (merged == kNone) return std::nullopt;
    return Candidate{bpe.scores_[merged], left, right, symbols[left].size_bytes + symbols[right].size_bytes, merged};
  }

  void push(uint32_t left, uint32_t right) {
    if (const auto found = candidate(left, right)) candidates.push(*found);
  }

  void merge_all() {
    for (uint32_t i = 0; i + size_t{1} < symbols.size(); ++i) {
      if (const auto found = candidate(i, i + 1)) candidates.add(*found);
    }
    candidates.start();
    while (const auto popped = candidates.pop()) {
      const Candidate& best = *popped;
      Symbol& left = symbols[best.left];
      Symbol& right = symbols[best.right];
      if (left.size_bytes == 0 || right.size_bytes == 0 || left.size_bytes + right.size_bytes != best.size_bytes) continue;
      left.size_bytes = best.size_bytes;
      left.id = best.merged;
      left.next = right.next;
      right.size_bytes = 0;
      if (left.next != kNone) symbols[left.next].previous = best.left;
      push(left.previous, best.left);
      push(best.left, left.next);
    }
  }
};

Result<SentencePieceBpe> SentencePieceBpe::create(const GgufFile& file, Vocabulary& vocabulary) {
  SentencePieceBpe bpe;
  QUIRE_ASSIGN(bpe.scores_, file.get_f32_array("tokenizer.ggml.scores"));
  if (bpe.scores_.size() != vocabulary.size()) {
    return make_error(Code::corrupt, "tokenizer.ggml.scores has %zu elements for %" PRIu32 " tokens", bpe.scores_.size(), vocabulary.size());
  }
  const auto not_a_number = std::find_if(bpe.scores_.begin(), bpe.scores_.end(), [](float score) { return std::isnan(score); });
  if (not_a_number != bpe.scores_.end()) {
    return make_error(Code::corrupt, "the score of token %zu is not a number", static_cast<size_t>(not_a_number - bpe.scores_.begin()));
  }
  QUIRE_TRY(bpe.read_bytes(vocabulary));
  std::string texts;
  std::vector<uint64_t> ends;
  ends.reserve(vocabulary.size());
  for (uint32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view text = vocabulary.text(id);
    const TokenType type = vocabulary.type(id);
    if (type == TokenType::byte) {
      texts += static_cast<char>(*named_byte(text));
    } else if (type == TokenType::normal || type == TokenType::unused) {
      texts += replaced(text, kSpaceMark, " ");
    } else {
      texts += text;
    }
    ends.push_back(texts.size());
    const bool mergeable = type == TokenType::normal || type == TokenType::unused || type == TokenType::user_defined;
    if (!mergeable || text.empty()) continue;
    bpe.tokens_.add(text, id);
    bpe.longest_bytes_ = std::max(bpe.longest_bytes_, text.size());
  }
  if (const auto twice = bpe.tokens_.build()) {
    return make_error(Code::corrupt, "token %" PRIu32 " has the same text as token %" PRIu32, *twice, bpe.find(vocabulary.text(*twice)));
  }
  vocabulary.set_texts(std::move(texts), std::move(ends));
  QUIRE_ASSIGN(vocabulary.space_prefix, file.get_bool_or("tokenizer.ggml.add_space_prefix", true));
  if (!file.has("tokenizer.ggml.add_bos_token")) vocabulary.add_bos = vocabulary.bos.has_value();
  return bpe;
}

Status SentencePieceBpe::read_bytes(const Vocabulary& vocabulary) {
  byte_ids_.fill(kNone);
  for (uint32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.type(id) != TokenType::byte) continue;
    const auto byte = named_byte(vocabulary.text(id));
    if (!byte) {
      return make_error(Code::corrupt, "the byte token %" PRIu32 " is called '%s'; <0x00> to <0xFF> are possible", id,
                        std::string(vocabulary.text(id).substr(0, 40)).c_str());
    }
    uint32_t& known = byte_ids_[*byte];
    if (known != kNone) return make_error(Code::corrupt, "token %" PRIu32 " stands for the same byte as token %" PRIu32, id, known);
    known = id;
  }
  const auto missing = std::find(byte_ids_.begin(), byte_ids_.end(), kNone);
  if (missing == byte_ids_.end()) return {};
  return make_error(Code::corrupt, "the vocabulary has no byte token <0x%02X>; all 256 are needed", static_cast<unsigned>(missing - byte_ids_.begin()));
}

uint32_t SentencePieceBpe::find(std::string_view text) const { return tokens_.find(text).value_or(kNone); }

Status SentencePieceBpe::encode(std::string_view text, std::vector<uint32_t>& ids) const {
  const std::string marked = replaced(text, " ", kSpaceMark);
  Workspace work{*this, marked, {}, {}, std::vector<Workspace::Memory>(Workspace::kMemories)};
  work.split_characters();
  work.merge_all();
  for (uint32_t i = 0; i < work.symbols.size() && i != kNone; i = work.symbols[i].next) {
    const Workspace::Symbol& symbol = work.symbols[i];
    if (symbol.id != kNone) {
      ids.push_back(symbol.id);
      continue;
    }
    for (const char byte : work.text.substr(symbol.begin, symbol.size_bytes)) ids.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
  }
  return {};
}

}  // namespace quire
