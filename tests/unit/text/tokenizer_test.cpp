#include "engine/text/tokenizer.hpp"

#include <random>

#include "tests/support/cpu_time.hpp"
#include "tests/support/tiny_tokenizer.hpp"

using namespace quire;
using namespace quire::testing;

namespace {

constexpr uint32_t kHello = 263;

uint32_t id_of(char c) { return kTinyFirstByte + static_cast<uint8_t>(c); }

std::vector<uint32_t> encode(const Tokenizer& tokenizer, std::string_view text, SpecialTokens special = SpecialTokens::ignore) {
  const auto ids = tokenizer.encode(text, special);
  REQUIRE(ids.ok());
  return *ids;
}

double seconds_to_encode(const Tokenizer& tokenizer, const std::string& text) {
  const CpuTime time;
  const auto ids = encode(tokenizer, text);
  const double seconds = time.seconds();
  CHECK(tokenizer.decode(ids) == text);
  return seconds;
}

/// The slowest right way: merge the pair of lowest rank, leftmost first, until there is none.
std::vector<uint32_t> encode_slowly(std::string_view word, const std::vector<std::array<uint32_t, 3>>& merges) {
  std::vector<uint32_t> ids;
  for (const char c : word) ids.push_back(id_of(c));
  while (true) {
    size_t best_rank = merges.size(), best_at = 0;
    for (size_t at = 0; at + 1 < ids.size(); ++at) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank][0] == ids[at] && merges[rank][1] == ids[at + 1]) {
          best_rank = rank;
          best_at = at;
        }
      }
    }
    if (best_rank == merges.size()) return ids;
    ids[best_at] = merges[best_rank][2];
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

}  // namespace

TEST_CASE("tokenizer: merges in the order of their rank, inside words only") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  CHECK(encode(tokenizer, "hello") == std::vector<uint32_t>{kHello});
  CHECK(encode(tokenizer, "hel lo") == std::vector<uint32_t>{260, id_of('l'), id_of(' '), id_of('l'), id_of('o')});
  CHECK(encode(tokenizer, "").empty());
}

TEST_CASE("tokenizer: control tokens are recognised only when asked for") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  const std::string text = "hello<|im_end|>hello";
  CHECK(encode(tokenizer, text, SpecialTokens::parse) == std::vector<uint32_t>{kHello, kTinyImEnd, kHello});
  const auto plain = encode(tokenizer, text);
  CHECK(std::find(plain.begin(), plain.end(), kTinyImEnd) == plain.end());
  CHECK(tokenizer.decode(plain) == text);
}

TEST_CASE("tokenizer: of control tokens that begin alike the longest is taken") {
  GgufWriter writer;
  add_byte_vocabulary(writer, 264);
  writer.remove("tokenizer.ggml.tokens");
  std::vector<std::string> tokens = {"<a>", "<a><a>", "<a><", "<unk>"};
  for (uint32_t byte = 0; byte < 256; ++byte) tokens.push_back(byte_as_text(byte));
  for (const char* word : {"he", "ll", "hell", "hello"}) tokens.emplace_back(word);
  writer.add_strings("tokenizer.ggml.tokens", tokens);
  const Tokenizer tokenizer = make_tokenizer(writer);
  CHECK(encode(tokenizer, "<a><a><a>", SpecialTokens::parse) == std::vector<uint32_t>{1, 0});
  CHECK(encode(tokenizer, "<a><", SpecialTokens::parse) == std::vector<uint32_t>{2});
  CHECK(encode(tokenizer, "<a", SpecialTokens::parse) == std::vector<uint32_t>{id_of('<'), id_of('a')});
}

TEST_CASE("tokenizer: a user-defined token is whole in any text, unless it ends an answer") {
  GgufWriter writer;
  add_byte_vocabulary(writer, 266);
  writer.remove("tokenizer.ggml.token_type");
  std::vector<int32_t> types(266, 1);
  std::fill_n(types.begin(), 4, 3);
  types[264] = 4;
  types[kTinyImEnd] = 4;
  writer.add_i32s("tokenizer.ggml.token_type", types);
  const Tokenizer tokenizer = make_tokenizer(writer);
  CHECK(encode(tokenizer, "filler264") == std::vector<uint32_t>{264});
  const auto ids = encode(tokenizer, "<|im_end|>");
  CHECK(std::find(ids.begin(), ids.end(), kTinyImEnd) == ids.end());
  CHECK(encode(tokenizer, "<|im_end|>", SpecialTokens::parse) == std::vector<uint32_t>{kTinyImEnd});
}

TEST_CASE("tokenizer: spans are one text, in which a control token must lie inside one span that asks for it") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  const auto encode_spans = [&](std::vector<TextSpan> spans) {
    const auto ids = tokenizer.encode(spans);
    REQUIRE(ids.ok());
    return *ids;
  };
  const auto parse = SpecialTokens::parse;
  CHECK(encode_spans({{"hel", parse}, {"lo", SpecialTokens::ignore}}) == std::vector<uint32_t>{kHello});
  CHECK(encode_spans({{"<|im_start|>", parse}, {"hello", SpecialTokens::ignore}, {"<|im_end|>", parse}}) ==
        std::vector<uint32_t>{kTinyImStart, kHello, kTinyImEnd});
  for (const auto& spans : {std::vector<TextSpan>{{"<|im_", parse}, {"end|>", SpecialTokens::ignore}},
                            std::vector<TextSpan>{{"<|im_", SpecialTokens::ignore}, {"end|>", parse}},
                            std::vector<TextSpan>{{"<|im_end|>", SpecialTokens::ignore}, {"", parse}}}) {
    const auto ids = encode_spans(spans);
    CHECK(std::find(ids.begin(), ids.end(), kTinyImEnd) == ids.end());
  }
}

TEST_CASE("tokenizer: any bytes come back from their ids") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  constexpr uint64_t kSeed = 20240611;
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 40, '\0');
    // Half of them mostly text, half mostly bytes that are no UTF-8.
    for (char& c : text) c = static_cast<char>(static_cast<uint8_t>(round % 2 == 0 ? "hello 12\n\xC3\xA9"[random() % 11] : static_cast<char>(random())));
    CHECK(tokenizer.decode(encode(tokenizer, text)) == text);
  }
}

TEST_CASE("tokenizer: random merges give the ids of the plain quadratic algorithm") {
  constexpr uint64_t kSeed = 7;
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 20; ++round) {
    GgufWriter writer;
    add_byte_vocabulary(writer, 264);
    std::vector<std::string> tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"};
    for (uint32_t byte = 0; byte < 256; ++byte) tokens.push_back(byte_as_text(byte));
    std::vector<uint32_t> letters = {id_of('a'), id_of('b'), id_of('c')};
    std::vector<std::array<uint32_t, 3>> merges;
    std::vector<std::string> lines;
    while (merges.size() < 12) {
      const uint32_t left = letters[random() % letters.size()], right = letters[random() % letters.size()];
      const std::string merged = tokens[left] + tokens[right];
      if (std::find(tokens.begin(), tokens.end(), merged) != tokens.end()) continue;
      const auto id = static_cast<uint32_t>(tokens.size());
      tokens.push_back(merged);
      letters.push_back(id);
      merges.push_back({left, right, id});
      lines.push_back(tokens[left] + " " + tokens[right]);
    }
    std::vector<int32_t> types(tokens.size(), 1);
    std::fill_n(types.begin(), 4, 3);
    for (const char* key : {"tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.token_type"}) writer.remove(key);
    writer.add_strings("tokenizer.ggml.tokens", tokens);
    writer.add_strings("tokenizer.ggml.merges", lines);
    writer.add_i32s("tokenizer.ggml.token_type", types);
    const Tokenizer tokenizer = make_tokenizer(writer);
    for (int word = 0; word < 50; ++word) {
      std::string text(1 + random() % 60, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 3);
      CAPTURE(text);
      CHECK(encode(tokenizer, text) == encode_slowly(text, merges));
    }
  }
}

TEST_CASE("tokenizer: a megabyte of one character, of spaces, marks, bad bytes or openings of control tokens takes under two seconds") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  constexpr size_t kSize = size_t{1} << 20;
  std::string marks, text;
  while (marks.size() < kSize) marks += "\xCC\x81";
  while (text.size() < kSize) text += "hello, 12 hellos! ";
  std::string openings;
  while (openings.size() < kSize) openings += "<|im_";
  struct Input {
    const char* name;
    std::string text;
  };
  const Input inputs[] = {
      {"h", std::string(kSize, 'h')},    {"l", std::string(kSize, 'l')},        {"space", std::string(kSize, ' ')},
      {"newline", std::string(kSize, '\n')}, {"digit", std::string(kSize, '7')}, {"bad byte", std::string(kSize, '\xFF')},
      {"marks", marks},                  {"openings", openings},                {"text", text},
  };
  for (const Input& input : inputs) {
    CAPTURE(input.name);
    CHECK(seconds_to_encode(tokenizer, input.text) < 2.0);
  }
}

TEST_CASE("tokenizer: ids outside the vocabulary stand for nothing") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  for (const uint32_t id : {264u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    CHECK(tokenizer.token_bytes(id).empty());
    CHECK_FALSE(tokenizer.is_end_of_generation(id));
    CHECK(tokenizer.decode(std::span(&id, 1)).empty());
  }
}

TEST_CASE("tokenizer: knows what begins a prompt and what ends an answer") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  CHECK(tokenizer.bos() == kTinyImStart);
  CHECK(tokenizer.eos() == kTinyImEnd);
  CHECK_FALSE(tokenizer.eot());
  CHECK_FALSE(tokenizer.add_bos());
  CHECK(tokenizer.is_end_of_generation(kTinyImEnd));
  CHECK(tokenizer.is_end_of_generation(kTinyEndOfText));
  CHECK_FALSE(tokenizer.is_end_of_generation(kTinyImStart));
  CHECK_FALSE(tokenizer.is_end_of_generation(kHello));
}
