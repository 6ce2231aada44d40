#include "engine/text/stream_decoder.hpp"

#include <random>

#include "tests/support/tiny_tokenizer.hpp"

using namespace quire;
using namespace quire::testing;

namespace {

std::string repair_at_once(std::string_view bytes) {
  Utf8Repair repair;
  std::string text = repair.push(bytes);
  return text + repair.finish();
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Unit unit = utf8_unit(text);
    if (unit.kind != Utf8Unit::Kind::character) return false;
    text.remove_prefix(unit.size_bytes);
  }
  return true;
}

}  // namespace

TEST_CASE("stream_decoder: a character that spans tokens appears with its last byte") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  StreamDecoder decoder(tokenizer);
  const std::string rocket = "\xF0\x9F\x9A\x80";
  for (size_t i = 0; i + 1 < rocket.size(); ++i) CHECK(decoder.push(kTinyFirstByte + static_cast<uint8_t>(rocket[i])).empty());
  CHECK(decoder.push(kTinyFirstByte + static_cast<uint8_t>(rocket.back())) == rocket);
  CHECK(decoder.finish().empty());
}

TEST_CASE("stream_decoder: control tokens are left out, or written when asked for") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  StreamDecoder quiet(tokenizer), open(tokenizer, SpecialTokens::parse);
  CHECK(quiet.push(kTinyImEnd).empty());
  CHECK(open.push(kTinyImEnd) == "<|im_end|>");
  CHECK(quiet.push(0xffffffffu).empty());
}

TEST_CASE("stream_decoder: an unfinished character becomes U+FFFD at the end, and the decoder is as new") {
  const Tokenizer tokenizer = make_tiny_tokenizer();
  StreamDecoder decoder(tokenizer);
  CHECK(decoder.push(kTinyFirstByte + 0xE2u).empty());
  CHECK(decoder.push(kTinyFirstByte + 0x82u).empty());
  CHECK(decoder.finish() == "\xEF\xBF\xBD");
  CHECK(decoder.push(kTinyFirstByte + 'x') == "x");
}

TEST_CASE("utf8: what can never be a character is replaced by maximal parts, as the Unicode standard shows") {
  // Unicode 15, table 3-8 and its neighbours: one U+FFFD for each underlined part.
  const std::pair<std::string_view, int> cases[] = {
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82", 8},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF", 8},
      {"\xF4\x91\x92\x93\xFF", 5},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF", 4},
  };
  for (const auto& [bytes, parts] : cases) {
    std::string expected;
    for (int i = 0; i < parts; ++i) expected += "\xEF\xBF\xBD";
    CHECK(repair_at_once(std::string(bytes) + "A") == expected + "A");
  }
}

TEST_CASE("utf8: every code point is encoded and recognised, surrogates are not") {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    std::string text;
    append_utf8(text, c);
    const Utf8Unit unit = utf8_unit(text);
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    const bool right = surrogate ? unit.kind == Utf8Unit::Kind::invalid
                                 : unit.kind == Utf8Unit::Kind::character && unit.size_bytes == text.size() && unit.code_point == c;
    if (!right) FAIL("code point " << static_cast<uint32_t>(c));
  }
}

TEST_CASE("utf8: however a stream is cut, the text is that of the whole, and every piece is valid") {
  constexpr uint64_t kSeed = 99;
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  constexpr uint8_t kBytes[] = {'a', 0x80, 0xBF, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xED, 0xF0, 0x9F, 0x9A, 0xF4, 0xFF};
  for (int round = 0; round < 5000; ++round) {
    std::string bytes(random() % 24, '\0');
    for (char& c : bytes) c = static_cast<char>(kBytes[random() % std::size(kBytes)]);
    Utf8Repair repair;
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
      const size_t count = 1 + random() % 4;
      const std::string piece = repair.push(std::string_view(bytes).substr(at, count));
      if (!is_valid_utf8(piece)) FAIL_CHECK("half a character in round " << round);
      text += piece;
      at += count;
    }
    text += repair.finish();
    CHECK(text == repair_at_once(bytes));
  }
}
