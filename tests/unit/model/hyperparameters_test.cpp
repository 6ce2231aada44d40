// Families as descriptions: what each reads from its file, and which tensors it takes.
#include <cmath>
#include <doctest/doctest.h>
#include <vector>

#include "engine/model/hyperparameters.hpp"
#include "tests/support/tiny_llama.hpp"

namespace quire {
namespace {

using testing::GgufWriter;
using testing::make_tiny_llama;
using testing::TinyLlama;

struct Loaded {
  std::vector<std::byte> bytes;
  GgufFile file;
  Hyperparameters hyper;
};

Status load(const GgufWriter& writer, Loaded& loaded) {
  loaded.bytes = writer.finish();
  QUIRE_ASSIGN(loaded.file, GgufFile::read(MemorySource(loaded.bytes)));
  QUIRE_ASSIGN(loaded.hyper, read_hyperparameters(loaded.file));
  return check_tensors(loaded.file, loaded.hyper);
}

Hyperparameters hyper_of(const GgufWriter& writer) {
  Loaded loaded;
  const Status status = load(writer, loaded);
  REQUIRE_MESSAGE(status.ok(), status.error().message);
  return loaded.hyper;
}

std::string refusal_of(const GgufWriter& writer) {
  Loaded loaded;
  const Status status = load(writer, loaded);
  REQUIRE_FALSE(status.ok());
  return status.error().message;
}

bool mentions(const std::string& text, const char* words) { return text.find(words) != std::string::npos; }

TEST_CASE("families: the order of RoPE's pairs, the gate's function and the embedding's scale follow the architecture") {
  const Hyperparameters llama = hyper_of(make_tiny_llama({.architecture = "llama"}));
  CHECK(llama.rope_order == RopeOrder::normal);
  CHECK(llama.gate_function == GateFunction::silu);
  CHECK(llama.embedding_scale == 1.0f);
  CHECK(llama.attention_scale == 0.25f);
  for (const char* name : {"qwen2", "qwen3"}) {
    const Hyperparameters qwen = hyper_of(make_tiny_llama({.architecture = name}));
    CHECK(qwen.rope_order == RopeOrder::neox);
    CHECK(qwen.gate_function == GateFunction::silu);
    CHECK(qwen.embedding_scale == 1.0f);
  }
  const Hyperparameters gemma = hyper_of(make_tiny_llama({.architecture = "gemma3", .embedding = 640}));
  CHECK(gemma.rope_order == RopeOrder::neox);
  CHECK(gemma.gate_function == GateFunction::gelu);
  CHECK(gemma.embedding_scale == std::sqrt(640.0f));
  CHECK(gemma.attention_scale == 0.25f);
}

TEST_CASE("families: Gemma 3 windows five layers of six with RoPE of their own, and its 62 layers scale attention by the width per head") {
  GgufWriter writer = make_tiny_llama({.architecture = "gemma3", .layers = 7});
  writer.add_u32("gemma3.attention.sliding_window", 70);
  writer.remove("gemma3.rope.freq_base");
  writer.add_f32("gemma3.rope.freq_base", 1e6f);
  writer.add_string("gemma3.rope.scaling.type", "linear");
  writer.add_f32("gemma3.rope.scaling.factor", 8.0f);
  const Hyperparameters hyper = hyper_of(writer);
  REQUIRE(hyper.rope_kinds.size() == 2);
  for (uint32_t layer = 0; layer < 7; ++layer) {
    CHECK(hyper.layer_window(layer) == (layer == 5 ? 0 : 70));
    CHECK(hyper.layer_rope_kind(layer) == (layer == 5 ? 0 : 1));
  }
  CHECK(hyper.rope_kinds[0].base == 1e6f);
  CHECK(hyper.rope_kinds[0].factor == 8.0f);
  CHECK(hyper.rope_kinds[1].base == 10000.0f);
  CHECK(hyper.rope_kinds[1].factor == 1.0f);
  writer.add_f32("gemma3.rope.freq_base_swa", 5000.0f);
  CHECK(hyper_of(writer).rope_kinds[1].base == 5000.0f);

  const Hyperparameters plain = hyper_of(make_tiny_llama({.architecture = "gemma3", .layers = 7}));
  CHECK(plain.rope_kinds.size() == 1);
  CHECK(plain.layer_window(0) == 0);

  const Hyperparameters largest = hyper_of(make_tiny_llama({.architecture = "gemma3", .layers = 62, .embedding = 256, .heads = 4, .head_length = 16}));
  CHECK(largest.attention_scale == 1.0f / std::sqrt(64.0f));
}

TEST_CASE("families: a window on all layers of a llama file is taken, one of a qwen file refused unless it spans the context") {
  GgufWriter llama = make_tiny_llama({.architecture = "llama"});
  llama.add_u32("llama.attention.sliding_window", 70);
  CHECK(hyper_of(llama).layer_window(0) == 70);
  CHECK(hyper_of(llama).layer_window(1) == 70);
  GgufWriter qwen = make_tiny_llama({.architecture = "qwen2", .context = 512});
  qwen.add_u32("qwen2.attention.sliding_window", 512);
  CHECK(hyper_of(qwen).layer_window(0) == 0);
  qwen.remove("qwen2.attention.sliding_window");
  qwen.add_u32("qwen2.attention.sliding_window", 511);
  CHECK(mentions(refusal_of(qwen), "qwen2.attention.sliding_window is 511"));
}

TEST_CASE("families: each has its own tensors: one of another is refused, a missing one named") {
  GgufWriter llama = make_tiny_llama({.architecture = "llama"});
  llama.add_tensor("blk.0.attn_q_norm.weight", GgmlType::f32, {16}, std::vector<std::byte>(64));
  CHECK(mentions(refusal_of(llama), "blk.0.attn_q_norm.weight has no meaning"));
  struct Case {
    const char* architecture;
    const char* tensor;
  };
  const Case cases[] = {{"qwen2", "blk.1.attn_k.bias"}, {"qwen3", "blk.0.attn_k_norm.weight"}, {"gemma3", "blk.1.post_ffw_norm.weight"},
                        {"gemma3", "blk.0.post_attention_norm.weight"}};
  for (const Case& c : cases) {
    GgufWriter writer = make_tiny_llama({.architecture = c.architecture});
    writer.find_tensor(c.tensor)->name = "blk.0.none";
    CHECK(mentions(refusal_of(writer), c.tensor));
  }
}

TEST_CASE("families: vectors of F32, F16 and BF16 read as the same floats, and no other type is a vector") {
  const float numbers[] = {1.5f, -0.25f, 0.0f, 96.0f};
  const uint16_t halves[] = {0x3e00, 0xb400, 0x0000, 0x5600}, brain_floats[] = {0x3fc0, 0xbe80, 0x0000, 0x42c0};
  const auto bytes_of = [](const auto& array) {
    const auto bytes = std::as_bytes(std::span(array));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  GgufWriter writer;
  writer.add_tensor("f32", GgmlType::f32, {4}, bytes_of(numbers));
  writer.add_tensor("f16", GgmlType::f16, {4}, bytes_of(halves));
  writer.add_tensor("bf16", GgmlType::bf16, {4}, bytes_of(brain_floats));
  const std::vector<std::byte> bytes = writer.finish();
  const MemorySource source(bytes);
  const auto file = GgufFile::read(source);
  REQUIRE(file.ok());
  for (const TensorInfo& tensor : file->tensors()) {
    const auto values = read_float_tensor(source, tensor);
    REQUIRE(values.ok());
    CHECK(*values == std::vector<float>(numbers, numbers + 4));
  }
  GgufWriter norm = make_tiny_llama({.architecture = "llama"});
  norm.find_tensor("output_norm.weight")->type = static_cast<uint32_t>(GgmlType::i32);
  CHECK(mentions(refusal_of(norm), "output_norm.weight has the type"));
}

}  // namespace
}  // namespace quire
