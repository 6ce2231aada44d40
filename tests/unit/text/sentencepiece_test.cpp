#include <random>

#include "engine/text/stream_decoder.hpp"
#include "engine/text/tokenizer.hpp"
#include "tests/support/cpu_time.hpp"
#include "tests/support/tiny_sentencepiece.hpp"
#include "tests/support/tiny_tokenizer.hpp"

using namespace quire;
using namespace quire::testing;

namespace {

enum class Prefix { with_space, none };

Tokenizer make_pieces(const SentencePieces& pieces, Prefix prefix) {
  GgufWriter writer;
  pieces.write(writer);
  if (prefix == Prefix::none) writer.add_bool("tokenizer.ggml.add_space_prefix", false);
  return make_tokenizer(writer);
}

std::vector<uint32_t> encode(const Tokenizer& tokenizer, std::string_view text, SpecialTokens special = SpecialTokens::ignore) {
  const auto ids = tokenizer.encode(text, special);
  REQUIRE(ids.ok());
  return *ids;
}

uint32_t piece(const SentencePieces& pieces, std::string_view text) {
  const auto found = std::find(pieces.tokens.begin(), pieces.tokens.end(), text);
  REQUIRE(found != pieces.tokens.end());
  return static_cast<uint32_t>(found - pieces.tokens.begin());
}

using Ids = std::vector<uint32_t>;
constexpr std::string_view kMark = "\xE2\x96\x81";

/// The slowest right way over ASCII: join the neighbours whose token scores highest, leftmost first, until none is a token.
Ids encode_slowly(const SentencePieces& pieces, std::string_view text) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  const auto find = [&](const std::string& symbol) { return std::find(pieces.tokens.begin(), pieces.tokens.end(), symbol) - pieces.tokens.begin(); };
  const auto count = static_cast<std::ptrdiff_t>(pieces.tokens.size());
  while (true) {
    size_t best_at = symbols.size();
    float best = 0;
    for (size_t at = 0; at + 1 < symbols.size(); ++at) {
      const auto id = find(symbols[at] + symbols[at + 1]);
      if (id == count) continue;
      const float score = pieces.scores[static_cast<size_t>(id)];
      if (best_at == symbols.size() || score > best) {
        best = score;
        best_at = at;
      }
    }
    if (best_at == symbols.size()) break;
    symbols[best_at] += symbols[best_at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
  Ids ids;
  for (const std::string& symbol : symbols) {
    const auto id = find(symbol);
    if (id != count) {
      ids.push_back(static_cast<uint32_t>(id));
    } else {
      for (const char c : symbol) ids.push_back(kPieceFirstByte + static_cast<uint8_t>(c));
    }
  }
  return ids;
}

}  // namespace

TEST_CASE("sentencepiece: the pair that scores highest merges first, and nothing stops at words") {
  const SentencePieces pieces;
  const Tokenizer tokenizer = make_pieces(pieces, Prefix::none);
  CHECK(encode(tokenizer, "hello") == Ids{piece(pieces, "he"), piece(pieces, "l"), piece(pieces, "lo")});
  CHECK(encode(tokenizer, "hell") == Ids{piece(pieces, "hell")});
  CHECK(encode(tokenizer, "ll ll") == Ids{piece(pieces, "ll"), piece(pieces, kMark), piece(pieces, "ll")});
  CHECK(encode(tokenizer, "").empty());
}

TEST_CASE("sentencepiece: random vocabularies give the ids of the plain quadratic algorithm") {
  constexpr uint64_t kSeed = 11;
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 20; ++round) {
    SentencePieces pieces;
    for (const char* letter : {"a", "b"}) pieces.add(letter, 1, 0);
    while (pieces.tokens.size() < kPieceFirst + 40) {
      std::string text(2 + random() % 4, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 3);  // c is no token alone: only inside others
      if (std::find(pieces.tokens.begin(), pieces.tokens.end(), text) != pieces.tokens.end()) continue;
      pieces.add(text, 1, -static_cast<float>(random() % 8));
    }
    const Tokenizer tokenizer = make_pieces(pieces, Prefix::none);
    for (int word = 0; word < 50; ++word) {
      std::string text(1 + random() % 60, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 3);
      CAPTURE(text);
      CHECK(encode(tokenizer, text) == encode_slowly(pieces, text));
    }
  }
}

TEST_CASE("sentencepiece: what no token holds becomes bytes, good UTF-8 or not, and comes back") {
  const SentencePieces pieces;
  const Tokenizer tokenizer = make_pieces(pieces, Prefix::none);
  CHECK(encode(tokenizer, "\xC3\xA9") == Ids{kPieceFirstByte + 0xC3, kPieceFirstByte + 0xA9});
  CHECK(encode(tokenizer, "\xFFh\x80") == Ids{kPieceFirstByte + 0xFF, kPieceFirstByte + 'h', kPieceFirstByte + 0x80});
  for (const std::string text : {"h\xC3\xA9llo", "\xFF\xFE", "\xF0\x9F\x98", "a\nb\0c"}) CHECK(tokenizer.decode(encode(tokenizer, text)) == text);
}

TEST_CASE("sentencepiece: a space before the text, and after a special token, is put there and taken away again") {
  const SentencePieces pieces;
  const Tokenizer tokenizer = make_pieces(pieces, Prefix::with_space);
  const uint32_t mark_h = piece(pieces, std::string(kMark) + "h");
  CHECK(encode(tokenizer, "h") == Ids{mark_h});
  CHECK(encode(tokenizer, " h") == Ids{piece(pieces, kMark), mark_h});
  CHECK(encode(tokenizer, "").empty());
  CHECK(encode(tokenizer, "h</s>h", SpecialTokens::parse) == Ids{mark_h, kPieceEos, mark_h});
  const std::vector<TextSpan> spans = {{"h", SpecialTokens::ignore}, {"</s>", SpecialTokens::parse}, {"h", SpecialTokens::ignore}};
  const auto going_on = tokenizer.encode(spans, TextPosition::continuation);
  REQUIRE(going_on.ok());
  CHECK(*going_on == Ids{piece(pieces, "h"), kPieceEos, mark_h});
  for (const std::string text : {"h", " h", "  hello ", "hello"}) CHECK(tokenizer.decode(encode(tokenizer, text)) == text);
  CHECK(tokenizer.decode(Ids{kPieceBos, mark_h, mark_h}) == "h h");
  CHECK(tokenizer.add_bos());
  CHECK(encode(make_pieces(pieces, Prefix::none), "h") == Ids{piece(pieces, "h")});
}

TEST_CASE("sentencepiece: names of control, unknown and byte tokens in a text are only text") {
  SentencePieces pieces;
  for (const char* part : {"<", "/", "s", ">", "</", "s>", "<s", "0", "x", "4", "1", "0x", "41", "<0x", "41>", "<unk", "<u", "n", "k", "u", "un", "nk", "unk"}) pieces.add(part, 1, -1);
  const Tokenizer tokenizer = make_pieces(pieces, Prefix::none);
  for (const std::string text : {"</s>", "<s>", "<0x41>", "<unk>"}) {
    const Ids ids = encode(tokenizer, text);
    CHECK(std::all_of(ids.begin(), ids.end(), [](uint32_t id) { return id >= kPieceFirst; }));
    CHECK(tokenizer.decode(ids) == text);
  }
  CHECK(encode(tokenizer, "</s>", SpecialTokens::parse) == Ids{kPieceEos});
}

TEST_CASE("sentencepiece: a user-defined token is whole in any text, before any merge") {
  SentencePieces pieces;
  const uint32_t defined = pieces.add("ell", 4, -1000);
  const Tokenizer tokenizer = make_pieces(pieces, Prefix::none);
  CHECK(encode(tokenizer, "hello") == Ids{piece(pieces, "h"), defined, piece(pieces, "o")});
}

TEST_CASE("sentencepiece: a streamed text begins without the space that was put before it, unless a prompt went before") {
  const SentencePieces pieces;
  const Tokenizer tokenizer = make_pieces(pieces, Prefix::with_space);
  const uint32_t mark_h = piece(pieces, std::string(kMark) + "h");
  StreamDecoder decoder(tokenizer);
  for (int round = 0; round < 2; ++round) {
    CHECK(decoder.push(kPieceBos).empty());
    CHECK(decoder.push(mark_h) == "h");
    CHECK(decoder.push(mark_h) == " h");
    CHECK(decoder.push(kPieceFirstByte + 0xE2).empty());
    CHECK(decoder.push(kPieceFirstByte + 0x82).empty());
    CHECK(decoder.push(kPieceFirstByte + 0xAC) == "\xE2\x82\xAC");
    CHECK(decoder.finish().empty());
  }
}

TEST_CASE("sentencepiece: a megabyte of anything takes under two seconds") {
  SentencePieces pieces;
  for (std::string run = "hh"; run.size() <= 64; run += run) pieces.add(run, 1, -20.0f - static_cast<float>(run.size()));
  const Tokenizer tokenizer = make_pieces(pieces, Prefix::with_space);
  constexpr size_t kSize = size_t{1} << 20;
  for (const std::string_view unit : {"h", " ", "hello ", "hello", "\n", "\xFF", "\xF0\x9F\x98\x80", "</s"}) {
    std::string text;
    while (text.size() < kSize) text += unit;
    CAPTURE(unit);
    const CpuTime time;
    const Ids ids = encode(tokenizer, text);
    CHECK(time.seconds() < 2.0);
    CHECK(tokenizer.decode(ids) == text);
  }
}
