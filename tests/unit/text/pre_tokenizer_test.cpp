#include "engine/text/pre_tokenizer.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace quire;

namespace {

std::vector<std::string> words_of(std::string_view name, std::string_view text) {
  const auto pre_tokenizer = PreTokenizer::create(name);
  REQUIRE_MESSAGE(pre_tokenizer.ok(), pre_tokenizer.error().message);
  std::vector<size_t> ends;
  REQUIRE(pre_tokenizer->split(text, ends).ok());
  std::vector<std::string> words;
  size_t begin = 0;
  for (const size_t end : ends) {
    words.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  CHECK(begin == text.size());
  return words;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("pre_tokenizer: each family splits digits, contractions and line breaks its own way") {
  const std::string_view text = "I'LL pay  1234\n\nor x's";
  CHECK(words_of("gpt-2", text) == Words{"I", "'", "LL", " pay", " ", " 1234", "\n", "\n", "or", " x", "'s"});
  CHECK(words_of("smollm", text) == Words{"I", "'", "LL", " pay", "  ", "1", "2", "3", "4", "\n", "\n", "or", " x", "'s"});
  CHECK(words_of("llama-bpe", text) == Words{"I", "'LL", " pay", " ", " ", "123", "4", "\n\n", "or", " x", "'s"});
  CHECK(words_of("qwen2", text) == Words{"I", "'LL", " pay", " ", " ", "1", "2", "3", "4", "\n\n", "or", " x", "'s"});
}

TEST_CASE("pre_tokenizer: bytes that are no UTF-8 are words of their own") {
  CHECK(words_of("gpt-2", "ab\xFF\xFE" "cd\xE2\x82") == Words{"ab", "\xFF", "\xFE", "cd", "\xE2", "\x82"});
}

TEST_CASE("pre_tokenizer: a name is known only as a whole, and another is refused with those that are known") {
  for (const char* name : {"", " ", "gpt", "smollm starcoder", "gpt-2 phi-2", "Default"}) {
    const auto result = PreTokenizer::create(name);
    CHECK(result.code() == Code::unsupported);
    CHECK(result.error().message.find("llama-bpe") != std::string::npos);
  }
}

TEST_CASE("pre_tokenizer: the words of any bytes are these bytes, none empty") {
  constexpr uint64_t kSeed = 5;
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  constexpr std::string_view kPieces[] = {"a", " ", "\n", "\r", "1", "'s", "!", "\xC3\xA9", "\xE3\x80\x80", "\xCC\x81", "\xFF", "\xE2", "\xF0\x9F\x98\x80", std::string_view("\0", 1)};
  for (const char* name : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
    for (int round = 0; round < 500; ++round) {
      std::string text;
      for (size_t i = random() % 20; i > 0; --i) text += kPieces[random() % std::size(kPieces)];
      std::string joined;
      for (const std::string& word : words_of(name, text)) {
        CHECK_FALSE(word.empty());
        joined += word;
      }
      CHECK(joined == text);
    }
  }
}
