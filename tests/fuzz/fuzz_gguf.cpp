// Any bytes as a model file: header, listing, hyperparameters, tensors, tokenizer and template.
#include <algorithm>

#include "engine/model/gguf_reader.hpp"
#include "engine/model/hyperparameters.hpp"
#include "engine/text/chat_template.hpp"
#include "engine/text/tokenizer.hpp"
#include "tests/fuzz/harness.hpp"
#include "tests/support/tiny_llama.hpp"

using namespace quire;

namespace {

void check_tensors_inside(const GgufFile& file, size_t size) {
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.size_bytes > size || tensor.offset_bytes > size - tensor.size_bytes) testing::fuzz_failure("a tensor is outside the file");
    if (file.find_tensor(tensor.name) != &tensor) testing::fuzz_failure("a tensor is not found by its name");
  }
}

}  // namespace

testing::FuzzOutcome testing::fuzz_one(std::span<const uint8_t> input) {
  const MemorySource source(std::as_bytes(input));
  const auto file = GgufFile::read(source, GgufLimits{.memory_bytes = uint64_t{16} << 20});
  if (!file.ok()) {
    if (file.error().message.empty()) testing::fuzz_failure("an error says nothing");
    return FuzzOutcome::refused;
  }
  check_tensors_inside(*file, input.size());
  for (size_t i = 0; i < file->metadata_count(); ++i) (void)file->metadata_text(i, 40, 4);
  const auto hyper = read_hyperparameters(*file);
  if (hyper.ok()) (void)check_tensors(*file, *hyper).ok();
  (void)ChatTemplate::from_file(*file, {}).ok();
  const auto tokenizer = Tokenizer::create(*file);
  if (!tokenizer.ok()) return FuzzOutcome::refused;
  const auto ids = tokenizer->encode("hello hello <|im_end|> \xFF\xE2\x82 123", SpecialTokens::parse);
  if (!ids.ok()) testing::fuzz_failure("a short text cannot be encoded");
  for (const uint32_t id : *ids) {
    if (id >= tokenizer->vocabulary_size()) testing::fuzz_failure("an id is outside the vocabulary");
  }
  return FuzzOutcome::accepted;
}

std::vector<uint8_t> testing::fuzz_seed() {
  const auto bytes = make_tiny_llama({.layers = 1, .embedding = 8, .feed_forward = 8, .heads = 1, .heads_kv = 1, .head_length = 8, .vocabulary = 264}).finish();
  std::vector<uint8_t> seed(bytes.size());
  std::transform(bytes.begin(), bytes.end(), seed.begin(), [](std::byte b) { return std::to_integer<uint8_t>(b); });
  return seed;
}
