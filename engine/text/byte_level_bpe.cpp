#include "engine/text/byte_level_bpe.hpp"

#include <algorithm>
#include <numeric>

#include "engine/text/merge_queue.hpp"
#include "engine/text/utf8.hpp"

namespace quire {
namespace {

/// GPT-2 writes bytes as printable characters: visible Latin-1 as itself, the other 68 bytes in order as U+0100 and up.
constexpr bool is_written_as_itself(uint32_t byte) { return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE; }

/// From a character of that alphabet to its byte; -1 for all others.
constexpr std::array<int16_t, 0x144> make_alphabet() {
  std::array<int16_t, 0x144> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) bytes[is_written_as_itself(byte) ? byte : next++] = static_cast<int16_t>(byte);
  return bytes;
}
constexpr std::array<int16_t, 0x144> kAlphabet = make_alphabet();

/// Appends the bytes that a token's text stands for; false (and nothing appended) if it is not written in the alphabet.
bool append_decoded(std::string_view text, std::string& bytes) {
  const size_t before = bytes.size();
  while (!text.empty()) {
    const Utf8Unit unit = utf8_unit(text);
    const bool known = unit.kind == Utf8Unit::Kind::character && unit.code_point < kAlphabet.size() && kAlphabet[unit.code_point] >= 0;
    if (!known) {
      bytes.resize(before);
      return false;
    }
    bytes += static_cast<char>(static_cast<uint8_t>(kAlphabet[unit.code_point]));
    text.remove_prefix(unit.size_bytes);
  }
  return true;
}

}  // namespace

/// What encoding one text needs, kept from word to word.
struct ByteLevelBpe::Workspace {
  struct Symbol {
    uint32_t id;
    uint32_t previous;
    uint32_t next;
  };
  /// A pair that can be merged. It is stale when one of its symbols has changed since.
  struct Candidate {
    uint32_t rank;
    uint32_t left;
    uint32_t right;
    uint32_t left_id;
    uint32_t right_id;
    uint32_t merged;
    /// Lowest rank first, then leftmost.
    bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };
  std::vector<Symbol> symbols;
  MergeQueue<Candidate> candidates;
};

Result<ByteLevelBpe> ByteLevelBpe::create(const GgufFile& file, Vocabulary& vocabulary) {
  ByteLevelBpe bpe;
  QUIRE_ASSIGN(const std::string_view name, file.get_string("tokenizer.ggml.pre"));
  QUIRE_ASSIGN(bpe.pre_tokenizer_, PreTokenizer::create(name));
  bpe.unknown_ = vocabulary.unknown.value_or(kNone);

  TokenIndex index;
  std::string texts;
  std::vector<uint64_t> ends;
  ends.reserve(vocabulary.size());
  for (uint32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view text = vocabulary.text(id);
    const size_t begin = texts.size();
    if (vocabulary.type(id) != TokenType::normal || !append_decoded(text, texts)) {
      texts += text;
    } else if (!text.empty()) {
      index.add(std::string_view(texts).substr(begin), id);
    }
    ends.push_back(texts.size());
  }
  vocabulary.set_texts(std::move(texts), std::move(ends));
  index.build();
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(static_cast<uint8_t>(byte));
    bpe.byte_ids_[byte] = index.find({&text, 1}).value_or(kNone);
  }
  QUIRE_TRY(bpe.read_merges(file, index));
  if (bpe.pre_tokenizer_.family().whole_words) bpe.words_ = std::move(index);
  return bpe;
}

Status ByteLevelBpe::read_merges(const GgufFile& file, const TokenIndex& index) {
  QUIRE_ASSIGN(const StringArray lines, file.get_strings("tokenizer.ggml.merges"));
  std::string left, right;
  for (size_t rank = 0; rank < lines.size(); ++rank) {
    const std::string_view line = lines[rank];
    // The separator is the first space after the first character: GPT-2's alphabet has no space.
    const size_t space = line.find(' ', 1);
    left.clear();
    right.clear();
    if (space == std::string_view::npos || !append_decoded(line.substr(0, space), left) || !append_decoded(line.substr(space + 1), right)) continue;
    if (left.empty() || right.empty()) continue;
    const auto left_id = index.find(left);
    const auto right_id = index.find(right);
    const auto merged = index.find(left + right);
    if (left_id && right_id && merged) merges_.push_back({*left_id, *right_id, static_cast<uint32_t>(rank), *merged});
  }
  const auto pair_less = [](const Merge& a, const Merge& b) { return a.left != b.left ? a.left < b.left : a.right < b.right; };
  // Stable: of a pair that is there twice the lower rank stays.
  std::stable_sort(merges_.begin(), merges_.end(), pair_less);
  const auto same = [](const Merge& a, const Merge& b) { return a.left == b.left && a.right == b.right; };
  merges_.erase(std::unique(merges_.begin(), merges_.end(), same), merges_.end());
  merge_begin_.assign(merges_.empty() ? 1 : merges_.back().left + size_t{2}, 0);
  for (const Merge& merge : merges_) ++merge_begin_[merge.left + size_t{1}];
  std::partial_sum(merge_begin_.begin(), merge_begin_.end(), merge_begin_.begin());
  return {};
}

const ByteLevelBpe::Merge* ByteLevelBpe::find_merge(uint32_t left, uint32_t right) const {
  if (left + size_t{1} >= merge_begin_.size()) return nullptr;
  const auto begin = merges_.begin() + merge_begin_[left];
  const auto end = merges_.begin() + merge_begin_[left + size_t{1}];
  const auto found = std::lower_bound(begin, end, right, [](const Merge& merge, uint32_t wanted) { return merge.right < wanted; });
  return found != end && found->right == right ? &*found : nullptr;
}

void ByteLevelBpe::encode_word(std::string_view word, Workspace& work, std::vector<uint32_t>& ids) const {
  auto& symbols = work.symbols;
  auto& candidates = work.candidates;
  symbols.clear();
  candidates.clear();
  const auto count = static_cast<uint32_t>(word.size());
  for (uint32_t i = 0; i < count; ++i) {
    symbols.push_back({byte_ids_[static_cast<uint8_t>(word[i])], i == 0 ? kNone : i - 1, i + 1 < count ? i + 1 : kNone});
  }
  const auto candidate = [&](uint32_t left, uint32_t right) -> std::optional<Workspace::Candidate> {
    if (left == kNone || right == kNone || symbols[left].id == kNone || symbols[right].id == kNone) return std::nullopt;
    const Merge* merge = find_merge(symbols[left].id, symbols[right].id);
    if (merge == nullptr) return std::nullopt;
    return Workspace::Candidate{merge->rank, left, right, symbols[left].id, symbols[right].id, merge->merged};
  };
  const auto push = [&](uint32_t left, uint32_t right) {
    if (const auto found = candidate(left, right)) candidates.push(*found);
  };
  for (uint32_t i = 0; i + 1 < count; ++i) {
    if (const auto found = candidate(i, i + 1)) candidates.add(*found);
  }
  candidates.start();
  while (const auto popped = candidates.pop()) {
    const Workspace::Candidate& best = *popped;
    Workspace::Symbol& left = symbols[best.left];
    const Workspace::Symbol& right = symbols[best.right];
    // A symbol that was taken into its left neighbour has no id; one that grew has another.
    if (left.id != best.left_id || right.id != best.right_id) continue;
    left.id = best.merged;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = best.left;
    symbols[best.right].id = kNone;
    push(left.previous, best.left);
    push(best.left, left.next);
  }
  for (uint32_t i = 0; i != kNone && i < count; i = symbols[i].next) {
    const uint32_t id = symbols[i].id != kNone ? symbols[i].id : unknown_;
    if (id != kNone) ids.push_back(id);
  }
}

Status ByteLevelBpe::encode(std::string_view text, std::vector<uint32_t>& ids) const {
  std::vector<size_t> ends;
  QUIRE_TRY(pre_tokenizer_.split(text, ends));
  Workspace work;
  size_t begin = 0;
  for (const size_t end : ends) {
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    const auto whole = pre_tokenizer_.family().whole_words ? words_.find(word) : std::nullopt;
    if (whole) {
      ids.push_back(*whole);
    } else {
      encode_word(word, work, ids);
    }
  }
  return {};
}

}  // namespace quire
