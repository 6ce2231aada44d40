// Any text with a good vocabulary (its ids give it back), and any text with any vocabulary.
// Input: one byte that chooses the pre-tokenizer and the kind; for any vocabulary: lines of tokens, an empty line, lines of merges, an
// empty line; then the text.
#include <algorithm>
#include <optional>
#include <string_view>

#include "engine/text/stream_decoder.hpp"
#include "engine/text/tokenizer.hpp"
#include "tests/fuzz/harness.hpp"
#include "tests/support/tiny_llama.hpp"

using namespace quire;
using namespace quire::testing;

namespace {

constexpr const char* kPreTokenizers[] = {"smollm", "gpt-2", "llama-bpe", "qwen2"};

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

std::optional<Tokenizer> make_any(std::string_view& text, const char* pre_tokenizer) {
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
  GgufWriter writer;
  add_byte_vocabulary(writer, 264);
  writer.remove("tokenizer.ggml.pre");
  writer.add_string("tokenizer.ggml.pre", pre_tokenizer);
  return make(writer);
}

}  // namespace

FuzzOutcome testing::fuzz_one(std::span<const uint8_t> input) {
  if (input.empty()) return FuzzOutcome::refused;
  std::string_view text(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  const char* pre_tokenizer = kPreTokenizers[input[0] % 4];
  const bool any_vocabulary = (input[0] & 4) != 0;
  const auto tokenizer = any_vocabulary ? make_any(text, pre_tokenizer) : make_good(pre_tokenizer);
  if (!tokenizer) {
    if (!any_vocabulary) fuzz_failure("the good vocabulary is refused");
    return FuzzOutcome::refused;
  }
  for (const SpecialTokens special : {SpecialTokens::ignore, SpecialTokens::parse}) {
    const auto ids = tokenizer->encode(text, special);
    if (!ids.ok()) fuzz_failure("a text cannot be encoded");
    std::string bytes;
    StreamDecoder decoder(*tokenizer, SpecialTokens::parse);
    for (const uint32_t id : *ids) {
      if (id >= tokenizer->vocabulary_size()) fuzz_failure("an id is outside the vocabulary");
      bytes += tokenizer->token_bytes(id);
      decoder.push(id);
    }
    if (!any_vocabulary && bytes != text) fuzz_failure("the ids of a text do not give it back");
  }
  return FuzzOutcome::accepted;
}

std::vector<uint8_t> testing::fuzz_seed() {
  constexpr std::string_view kSeed = "\x04" "a\nb\nab\n<|x|>\nc\n\na b\nab c\n\nabab <|x|> hello <|im_end|> 12 \xC3\xA9\xFF";
  return {kSeed.begin(), kSeed.end()};
}
