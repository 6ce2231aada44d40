// Token ids of SmolLM2 against an independent tokenizer's, and the chat template against its prompts.
#include <doctest/doctest.h>

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
const std::filesystem::path kModel = std::filesystem::path(QUIRE_MODEL_DIR) / "SmolLM2-135M-Instruct.Q4_1.gguf";

bool have(const char* test, const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) return true;
  std::printf("SKIP %s: %s is missing\n", test, path.c_str());
  return false;
}

std::vector<nlohmann::json> read_rows(const char* name) {
  std::vector<nlohmann::json> rows;
  std::ifstream in(kGoldens / name);
  for (std::string line; std::getline(in, line);) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row["model"] == "smollm2") rows.push_back(std::move(row));
  }
  return rows;
}

GgufFile read_model() {
  auto source = FileSource::open(kModel.string());
  REQUIRE(source.ok());
  auto file = GgufFile::read(**source);
  REQUIRE_MESSAGE(file.ok(), file.error().message);
  return std::move(file).value();
}

Tokenizer read_tokenizer(const GgufFile& file) {
  auto tokenizer = Tokenizer::create(file);
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.error().message);
  return std::move(tokenizer).value();
}

}  // namespace

TEST_CASE("golden tokenize: every SmolLM2 row has the same ids, and decoding gives the text back") {
  if (!have("golden tokenize", kModel) || !have("golden tokenize", kGoldens / "tokenize.jsonl")) return;
  const GgufFile file = read_model();
  const Tokenizer tokenizer = read_tokenizer(file);
  const auto rows = read_rows("tokenize.jsonl");
  REQUIRE(rows.size() >= 60);
  for (const auto& row : rows) {
    const auto text = row["text"].get<std::string>();
    CAPTURE(text);
    const auto ids = tokenizer.encode(text, SpecialTokens::ignore);
    REQUIRE(ids.ok());
    CHECK(*ids == row["ids"].get<std::vector<uint32_t>>());
    CHECK(tokenizer.decode(*ids) == text);
  }
}

TEST_CASE("golden tokenize: the chat template recognised from the file writes the golden prompts") {
  if (!have("golden chat", kModel) || !have("golden chat", kGoldens / "greedy.jsonl")) return;
  const GgufFile file = read_model();
  const Tokenizer tokenizer = read_tokenizer(file);
  const auto chat = ChatTemplate::from_file(file);
  REQUIRE_MESSAGE(chat.ok(), chat.error().message);
  CHECK(chat->family() == "chatml");
  int chats = 0;
  for (const auto& row : read_rows("greedy.jsonl")) {
    const auto text = row["text"].get<std::string>();
    CAPTURE(text);
    const auto golden = row["prompt_ids"].get<std::vector<uint32_t>>();
    if (row["kind"] == "chat") {
      ++chats;
      const ChatMessage message{"user", text};
      const auto ids = encode_chat(tokenizer, *chat, std::span(&message, 1), GenerationPrompt::add);
      REQUIRE(ids.ok());
      CHECK(*ids == golden);
    } else {
      const auto ids = tokenizer.encode(text, SpecialTokens::ignore);
      REQUIRE(ids.ok());
      CHECK(*ids == golden);
    }
  }
  CHECK(chats >= 4);
}

TEST_CASE("golden tokenize: a megabyte of text, or of one character, takes under two seconds") {
  if (!have("golden tokenize speed", kModel) || !have("golden tokenize speed", kGoldens / "text/fhs.txt")) return;
  const GgufFile file = read_model();
  const Tokenizer tokenizer = read_tokenizer(file);
  constexpr size_t kSize = size_t{1} << 20;
  std::ifstream in(kGoldens / "text/fhs.txt", std::ios::binary);
  const std::string book{std::istreambuf_iterator<char>(in), {}};
  REQUIRE_FALSE(book.empty());
  std::string text;
  while (text.size() < kSize) text += book;
  for (const std::string& input : {text.substr(0, kSize), std::string(kSize, 'a'), std::string(kSize, ' '), std::string(kSize, '=')}) {
    const testing::CpuTime time;
    const auto ids = tokenizer.encode(input, SpecialTokens::ignore);
    const double seconds = time.seconds();
    REQUIRE(ids.ok());
    MESSAGE("1 MiB beginning with '" << input.substr(0, 8) << "': " << ids->size() << " tokens in " << seconds << " s");
    CHECK(seconds < 2.0);
    CHECK(tokenizer.decode(*ids) == input);
  }
}

TEST_CASE("golden tokenize: the file's hyperparameters and tensors are those of SmolLM2 135M") {
  if (!have("golden hyperparameters", kModel)) return;
  const GgufFile file = read_model();
  const auto hyper = read_hyperparameters(file);
  REQUIRE_MESSAGE(hyper.ok(), hyper.error().message);
  CHECK(hyper->block_count == 30);
  CHECK(hyper->head_count == 9);
  CHECK(hyper->head_count_kv == 3);
  CHECK(hyper->key_length == 64);
  CHECK(hyper->rope_freq_base == 100000.0f);
  CHECK(hyper->vocabulary_size == 49152);
  CHECK(hyper->tied_embeddings);
  const Status tensors = check_tensors(file, *hyper);
  CHECK_MESSAGE(tensors.ok(), tensors.error().message);
}
