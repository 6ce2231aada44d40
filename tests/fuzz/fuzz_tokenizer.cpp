// Any text with a good vocabulary (its ids give it back), and any text with any vocabulary.
// Input: one byte that chooses the pre-tokenizer and the kind; for any vocabulary: lines of tokens, an empty line, lines of merges, an
// empty line; then the text. SentencePiece is given the same, and takes the merges for text.
#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>

#include "engine/text/stream_decoder.hpp"
#include "engine/text/tokenizer.hpp"
#include "tests/fuzz/harness.hpp"
#include "tests/support/tiny_llama.hpp"
#include "tests/support/tiny_sentencepiece.hpp"

using namespace quire;
using namespace quire::testing;

namespace {

constexpr const char* kPreTokenizers[] = {"smollm", "gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "tekken", "superbpe"};
/// SentencePiece has none.
constexpr const char* kNoPreTokenizer = nullptr;

std::optional<Tokenizer> make(const GgufWriter& writer) {
  const std::vector<std::byte> bytes = writer.finish();
  const MemorySource source(bytes);
  const auto file = GgufFile::read(source);
  if (!file.ok()) return std::nullopt;
  auto tokenizer = Tokenizer::create(*file);
  if (!tokenizer.ok()) return std::nullopt;
  return std::move(tokenizer).value();
}

/// Takes the lines up to an empty one off the text.
std::vector<std::string> take_lines(std::string_view& text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) break;
    lines.emplace_back(line);
  }
  return lines;
}

/// The tokens have any type but byte, and scores by their lengths, many of them equal.
std::optional<Tokenizer> make_any_pieces(std::string_view& text) {
  SentencePieces pieces;
  for (const std::string& token : take_lines(text)) {
    const int32_t type = 1 + static_cast<uint8_t>(token.back()) % 6;
    pieces.add(token, type != 6 ? type : 1, static_cast<float>(token.size() % 5));
  }
  GgufWriter writer;
  pieces.write(writer);
  return make(writer);
}

std::optional<Tokenizer> make_good_pieces() {
  GgufWriter writer;
  SentencePieces().write(writer);
  return make(writer);
}

std::optional<Tokenizer> make_any(std::string_view& text, const char* pre_tokenizer) {
  if (pre_tokenizer == kNoPreTokenizer) return make_any_pieces(text);
  const std::vector<std::string> tokens = take_lines(text);
  std::vector<int32_t> types;
  for (const std::string& token : tokens) types.push_back(1 + static_cast<uint8_t>(token.back()) % 6);
  GgufWriter writer;
  writer.add_string("tokenizer.ggml.model", "gpt2");
  writer.add_string("tokenizer.ggml.pre", pre_tokenizer);
  writer.add_strings("tokenizer.ggml.tokens", tokens);
  writer.add_i32s("tokenizer.ggml.token_type", types);
  writer.add_strings("tokenizer.ggml.merges", take_lines(text));
  return make(writer);
}

std::optional<Tokenizer> make_good(const char* pre_tokenizer) {
  if (pre_tokenizer == kNoPreTokenizer) return make_good_pieces();
  GgufWriter writer;
  add_byte_vocabulary(writer, 264);
  writer.remove("tokenizer.ggml.pre");
  writer.add_string("tokenizer.ggml.pre", pre_tokenizer);
  return make(writer);
}

}  // namespace

namespace {

std::string with_spaces_for_marks(std::string text) {
  constexpr std::string_view kMark = "\xE2\x96\x81";
  for (size_t at = text.find(kMark); at != text.npos; at = text.find(kMark, at)) text.replace(at, kMark.size(), " ");
  return text;
}

FuzzOutcome fuzz_text(std::string_view text, const char* pre_tokenizer, bool any_vocabulary) {
  const auto tokenizer = any_vocabulary ? make_any(text, pre_tokenizer) : make_good(pre_tokenizer);
  if (!tokenizer) {
    if (!any_vocabulary) fuzz_failure("the good vocabulary is refused");
    return FuzzOutcome::refused;
  }
  for (const SpecialTokens special : {SpecialTokens::ignore, SpecialTokens::parse}) {
    const auto ids = tokenizer->encode(text, special);
    if (!ids.ok()) fuzz_failure("a text cannot be encoded");
    std::string bytes;
    TextPosition position = TextPosition::beginning;
    StreamDecoder decoder(*tokenizer, SpecialTokens::parse);
    for (const uint32_t id : *ids) {
      if (id >= tokenizer->vocabulary_size()) fuzz_failure("an id is outside the vocabulary");
      if (special == SpecialTokens::ignore && tokenizer->is_silent(id)) fuzz_failure("a text that is not trusted gave a control token");
      bytes += tokenizer->token_text(id, position);
      position = TextPosition::continuation;
      decoder.push(id);
    }
    if (any_vocabulary) continue;
    // SentencePiece puts a space after a special token that stays, and knows no difference between a space and its mark for one.
    const bool same = pre_tokenizer != kNoPreTokenizer
                          ? bytes == text
                          : special == SpecialTokens::parse || with_spaces_for_marks(bytes) == with_spaces_for_marks(std::string(text));
    if (!same) fuzz_failure("the ids of a text do not give it back");
  }
  return FuzzOutcome::accepted;
}

}  // namespace

FuzzOutcome testing::fuzz_one(std::span<const uint8_t> input) {
  if (input.empty()) return FuzzOutcome::refused;
  const std::string_view text(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  const bool any_vocabulary = (input[0] & 8) != 0;
  const FuzzOutcome pieces = fuzz_text(text, kNoPreTokenizer, any_vocabulary);
  const FuzzOutcome bytes = fuzz_text(text, kPreTokenizers[input[0] % std::size(kPreTokenizers)], any_vocabulary);
  return pieces == FuzzOutcome::accepted ? bytes : pieces;
}

std::vector<uint8_t> testing::fuzz_seed() {
  constexpr std::string_view kSeed = "\x08" "a\nb\nab\n<|x|>\nc\n\na b\nab c\n\nabab <|x|> hello <|im_end|> 12 \xC3\xA9\xFF";
  return {kSeed.begin(), kSeed.end()};
}
