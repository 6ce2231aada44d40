// Token ids of both models against an independent tokenizer's, and the chat template against its prompts.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/gguf_reader.hpp"
#include "engine/model/hyperparameters.hpp"
#include "engine/platform/byte_source.hpp"
#include "engine/text/chat_template.hpp"
#include "engine/text/tokenizer.hpp"
#include "tests/support/cpu_time.hpp"

using namespace quire;

namespace {

const std::filesystem::path kGoldens = QUIRE_GOLDENS_DIR;

struct GoldenModel {
  std::string name;            ///< in the goldens
  std::filesystem::path path;
};
const GoldenModel kSmolLm2{"smollm2", std::filesystem::path(QUIRE_MODEL_DIR) / "SmolLM2-135M-Instruct.Q4_1.gguf"};
const GoldenModel kGemma3{"gemma3", std::filesystem::path(QUIRE_MODEL_DIR) / "gemma-3-270m-q4_k_m.gguf"};

bool have(const char* test, const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) return true;
  std::printf("SKIP %s: %s is missing\n", test, path.c_str());
  return false;
}

std::vector<nlohmann::json> read_rows(const char* file, const GoldenModel& model) {
  std::vector<nlohmann::json> rows;
  std::ifstream in(kGoldens / file);
  for (std::string line; std::getline(in, line);) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row["model"] == model.name) rows.push_back(std::move(row));
  }
  return rows;
}

GgufFile read_model(const GoldenModel& model) {
  auto source = FileSource::open(model.path.string());
  REQUIRE(source.ok());
  auto file = GgufFile::read(**source);
  REQUIRE_MESSAGE(file.ok(), file.error().message);
  return std::move(file).value();
}

/// SentencePiece knows no difference between a space and U+2581.
std::string with_spaces_for_marks(std::string text) {
  constexpr std::string_view kMark = "\xE2\x96\x81";
  for (size_t at = text.find(kMark); at != text.npos; at = text.find(kMark, at)) text.replace(at, kMark.size(), " ");
  return text;
}

Tokenizer read_tokenizer(const GgufFile& file) {
  auto tokenizer = Tokenizer::create(file);
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.error().message);
  return std::move(tokenizer).value();
}

}  // namespace

TEST_CASE("golden tokenize: every row of both models has the same ids, and decoding gives the text back") {
  for (const GoldenModel& model : {kSmolLm2, kGemma3}) {
    if (!have("golden tokenize", model.path) || !have("golden tokenize", kGoldens / "tokenize.jsonl")) continue;
    CAPTURE(model.name);
    const Tokenizer tokenizer = read_tokenizer(read_model(model));
    const auto rows = read_rows("tokenize.jsonl", model);
    REQUIRE(rows.size() >= 60);
    for (const auto& row : rows) {
      const auto text = row["text"].get<std::string>();
      CAPTURE(text);
      const auto ids = tokenizer.encode(text, SpecialTokens::ignore);
      REQUIRE(ids.ok());
      CHECK(*ids == row["ids"].get<std::vector<uint32_t>>());
      CHECK(tokenizer.decode(*ids) == (model.name == kGemma3.name ? with_spaces_for_marks(text) : text));
    }
  }
}

TEST_CASE("golden tokenize: prompts of both models are the golden ones, through the chat template recognised from the file where there is one") {
  for (const GoldenModel& model : {kSmolLm2, kGemma3}) {
    if (!have("golden prompts", model.path) || !have("golden prompts", kGoldens / "greedy.jsonl")) continue;
    CAPTURE(model.name);
    const GgufFile file = read_model(model);
    const Tokenizer tokenizer = read_tokenizer(file);
    const auto chat = ChatTemplate::from_file(file, special_names(tokenizer));
    if (model.name == kSmolLm2.name) {
      REQUIRE_MESSAGE(chat.ok(), chat.error().message);
      CHECK(chat->family() == "chatml");
    } else {
      CHECK(chat.code() == Code::not_found);
    }
    int chats = 0, raws = 0;
    for (const auto& row : read_rows("greedy.jsonl", model)) {
      const auto text = row["text"].get<std::string>();
      CAPTURE(text);
      const auto golden = row["prompt_ids"].get<std::vector<uint32_t>>();
      if (row["kind"] == "chat") {
        ++chats;
        REQUIRE(chat.ok());
        const ChatMessage message{"user", text};
        const auto ids = encode_chat(tokenizer, *chat, std::span(&message, 1), GenerationPrompt::add);
        REQUIRE(ids.ok());
        CHECK(*ids == golden);
      } else {
        ++raws;
        auto ids = tokenizer.encode(text, SpecialTokens::ignore);
        REQUIRE(ids.ok());
        if (tokenizer.add_bos()) ids->insert(ids->begin(), tokenizer.bos().value());
        CHECK(*ids == golden);
      }
    }
    CHECK(raws >= 5);
    if (chat.ok()) CHECK(chats >= 4);
  }
}

TEST_CASE("golden tokenize: what ends an answer is known from the file's keys and from names") {
  const auto ends_of = [](const GoldenModel& model) {
    const Tokenizer tokenizer = read_tokenizer(read_model(model));
    std::vector<std::string> ends;
    for (uint32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
      if (tokenizer.is_end_of_generation(id)) ends.emplace_back(tokenizer.token_bytes(id));
    }
    return ends;
  };
  if (have("golden ends", kSmolLm2.path)) CHECK(ends_of(kSmolLm2) == std::vector<std::string>{"<|endoftext|>", "<|im_end|>", "<reponame>"});
  if (have("golden ends", kGemma3.path)) CHECK(ends_of(kGemma3) == std::vector<std::string>{"<eos>", "<end_of_turn>", "</s>"});
}

TEST_CASE("golden tokenize: a megabyte of text, with or without spaces, or of one character, takes under two seconds with both tokenizers") {
  constexpr size_t kSize = size_t{1} << 20;
  std::ifstream in(kGoldens / "text/fhs.txt", std::ios::binary);
  const std::string book{std::istreambuf_iterator<char>(in), {}};
  std::string text, unspaced;
  while (!book.empty() && text.size() < kSize) text += book;
  while (!book.empty() && unspaced.size() < kSize) std::copy_if(book.begin(), book.end(), std::back_inserter(unspaced), [](char c) { return c != ' ' && c != '\n'; });
  std::vector<std::string> inputs = {text.substr(0, kSize), unspaced.substr(0, kSize)};
  for (const std::string_view character : {"a", " ", "\n", "7", "=", "\xC3\xA9", "\xF0\x9F\x98\x80"}) {
    std::string input;
    while (input.size() < kSize) input += character;
    inputs.push_back(std::move(input));
  }
  for (const GoldenModel& model : {kSmolLm2, kGemma3}) {
    if (!have("golden tokenize speed", model.path) || !have("golden tokenize speed", kGoldens / "text/fhs.txt")) continue;
    const Tokenizer tokenizer = read_tokenizer(read_model(model));
    for (const std::string& input : inputs) {
      const testing::CpuTime time;
      const auto ids = tokenizer.encode(input, SpecialTokens::ignore);
      const double seconds = time.seconds();
      REQUIRE(ids.ok());
      MESSAGE(model.name << ": 1 MiB beginning with '" << input.substr(0, 8) << "': " << ids->size() << " tokens in " << seconds << " s");
      CHECK(seconds < 2.0);
      CHECK(tokenizer.decode(*ids) == input);
    }
  }
}

TEST_CASE("golden tokenize: the file's hyperparameters and tensors are those of SmolLM2 135M") {
  if (!have("golden hyperparameters", kSmolLm2.path)) return;
  const GgufFile file = read_model(kSmolLm2);
  const auto hyper = read_hyperparameters(file);
  REQUIRE_MESSAGE(hyper.ok(), hyper.error().message);
  CHECK(hyper->block_count == 30);
  CHECK(hyper->head_count == 9);
  CHECK(hyper->head_count_kv == 3);
  CHECK(hyper->key_length == 64);
  REQUIRE(hyper->rope_kinds.size() == 1);
  CHECK(hyper->rope_kinds[0].base == 100000.0f);
  CHECK(hyper->vocabulary_size == 49152);
  CHECK(hyper->tied_embeddings);
  const Status tensors = check_tensors(file, *hyper);
  CHECK_MESSAGE(tensors.ok(), tensors.error().message);
}
