// Well-formed files whose values are not: every known key with every other type, and hyperparameters and vocabularies that make no sense.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "engine/model/gguf_reader.hpp"
#include "engine/model/hyperparameters.hpp"
#include "engine/text/tokenizer.hpp"
#include "tests/support/tiny_llama.hpp"
#include "tests/support/tiny_sentencepiece.hpp"

using namespace quire;
using namespace quire::testing;

namespace {

constexpr TinyLlama kShape{.layers = 1, .embedding = 16, .feed_forward = 16, .heads = 2, .heads_kv = 1, .head_length = 8, .vocabulary = 264};

/// The checks of a load in its order; the rest of one cannot see these values.
Status load(const GgufWriter& writer) {
  const std::vector<std::byte> bytes = writer.finish();
  const MemorySource source(bytes);
  QUIRE_ASSIGN(const GgufFile file, GgufFile::read(source));
  QUIRE_ASSIGN(const Hyperparameters hyper, read_hyperparameters(file));
  QUIRE_TRY(check_tensors(file, hyper));
  QUIRE_ASSIGN(const Tokenizer tokenizer, Tokenizer::create(file));
  QUIRE_TRY(tokenizer.encode("hello hello <|im_end|>", SpecialTokens::parse));
  return {};
}

void check_rejected(const Status& status, std::string_view words) {
  CHECK_FALSE(status.ok());
  CHECK_MESSAGE(status.error().message.find(words) != std::string::npos, status.error().message << " (should mention '" << words << "')");
}

/// The bytes of some value of a type; those of an array are an empty one of u8.
std::vector<std::byte> value_of(MetadataType type) {
  ByteWriter value;
  switch (type) {
    case MetadataType::u8: case MetadataType::i8: case MetadataType::boolean: return value.value(uint8_t{1}).bytes();
    case MetadataType::u16: case MetadataType::i16: return value.value(uint16_t{1}).bytes();
    case MetadataType::u32: case MetadataType::i32: return value.value(uint32_t{1}).bytes();
    case MetadataType::f32: return value.value(1.0f).bytes();
    case MetadataType::u64: case MetadataType::i64: return value.value(uint64_t{1}).bytes();
    case MetadataType::f64: return value.value(1.0).bytes();
    case MetadataType::string: return value.string("1").bytes();
    case MetadataType::array: return value.type(MetadataType::u8).value(uint64_t{3}).value(uint8_t{1}).value(uint8_t{1}).value(uint8_t{1}).bytes();
  }
  return {};
}

bool is_number(MetadataType type) { return type != MetadataType::string && type != MetadataType::array && type != MetadataType::boolean; }
bool is_float(MetadataType type) { return type == MetadataType::f32 || type == MetadataType::f64; }

}  // namespace

TEST_CASE("model values: every known key with a value of the wrong type is rejected by name") {
  enum class Kind { integer, real, boolean, string, array };
  struct Known {
    const char* key;
    Kind kind;
  };
  const Known keys[] = {
      {"general.architecture", Kind::string},
      {"llama.block_count", Kind::integer},
      {"llama.context_length", Kind::integer},
      {"llama.embedding_length", Kind::integer},
      {"llama.feed_forward_length", Kind::integer},
      {"llama.attention.head_count", Kind::integer},
      {"llama.attention.head_count_kv", Kind::integer},
      {"llama.attention.key_length", Kind::integer},
      {"llama.attention.value_length", Kind::integer},
      {"llama.rope.dimension_count", Kind::integer},
      {"llama.rope.freq_base", Kind::real},
      {"llama.rope.scaling.type", Kind::string},
      {"llama.rope.scaling.factor", Kind::real},
      {"llama.rope.scaling.attn_factor", Kind::real},
      {"llama.attention.sliding_window", Kind::integer},
      {"llama.attention.sliding_window_pattern", Kind::integer},
      {"llama.attention.layer_norm_rms_epsilon", Kind::real},
      {"split.count", Kind::integer},
      {"tokenizer.ggml.model", Kind::string},
      {"tokenizer.ggml.pre", Kind::string},
      {"tokenizer.ggml.tokens", Kind::array},
      {"tokenizer.ggml.token_type", Kind::array},
      {"tokenizer.ggml.merges", Kind::array},
      {"tokenizer.ggml.bos_token_id", Kind::integer},
      {"tokenizer.ggml.eos_token_id", Kind::integer},
      {"tokenizer.ggml.eot_token_id", Kind::integer},
      {"tokenizer.ggml.unknown_token_id", Kind::integer},
      {"tokenizer.ggml.add_bos_token", Kind::boolean},
  };
  for (const Known& known : keys) {
    for (uint32_t number = 0; number <= static_cast<uint32_t>(MetadataType::f64); ++number) {
      const auto type = static_cast<MetadataType>(number);
      const bool fits = (known.kind == Kind::integer && is_number(type) && !is_float(type)) || (known.kind == Kind::real && is_float(type)) ||
                        (known.kind == Kind::boolean && type == MetadataType::boolean) || (known.kind == Kind::string && type == MetadataType::string);
      if (fits) continue;
      CAPTURE(known.key);
      CAPTURE(metadata_type_name(type));
      GgufWriter writer = make_tiny_llama(kShape);
      writer.remove(known.key);
      writer.add_raw(known.key, type, value_of(type));
      check_rejected(load(writer), known.key);
    }
  }
}

TEST_CASE("model values: implausible hyperparameters are rejected by name") {
  struct Case {
    const char* key;
    uint64_t value;
  };
  const Case cases[] = {
      {"block_count", 0},           {"block_count", uint64_t{1} << 31},      {"context_length", 0},
      {"context_length", uint64_t{1} << 63}, {"embedding_length", 0},        {"embedding_length", ~uint64_t{0}},
      {"feed_forward_length", 0},   {"attention.head_count", 0},             {"attention.head_count", uint64_t{1} << 31},
      {"attention.head_count_kv", 0}, {"attention.head_count_kv", 3},        {"attention.key_length", 0},
      {"attention.key_length", 12}, {"attention.key_length", 264},           {"attention.key_length", uint64_t{1} << 31},
      {"attention.value_length", 0}, {"attention.value_length", 4},          {"rope.dimension_count", 0},
      {"rope.dimension_count", 7},  {"rope.dimension_count", 10},
  };
  for (const Case& c : cases) {
    CAPTURE(c.key);
    CAPTURE(c.value);
    GgufWriter writer = make_tiny_llama(kShape);
    const std::string key = std::string("llama.") + c.key;
    writer.remove(key);
    writer.add_u64(key, c.value);
    check_rejected(load(writer), key);
  }
  GgufWriter uneven = make_tiny_llama(kShape);
  uneven.remove("llama.attention.head_count");
  uneven.add_u32("llama.attention.head_count", 3);
  uneven.remove("llama.attention.head_count_kv");
  uneven.add_u32("llama.attention.head_count_kv", 2);
  check_rejected(load(uneven), "no multiple of the 2 KV heads");
}

TEST_CASE("model values: RoPE bases and epsilons that are not plausible numbers are rejected") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {kNan, kInfinity, -kInfinity, 0.0f, -1.0f}) {
    for (const char* key : {"llama.rope.freq_base", "llama.attention.layer_norm_rms_epsilon"}) {
      GgufWriter writer = make_tiny_llama(kShape);
      writer.remove(key);
      writer.add_f32(key, value);
      check_rejected(load(writer), key);
    }
  }
}

TEST_CASE("model values: features that would change the maths are rejected by name, their neutral values accepted") {
  GgufWriter none = make_tiny_llama(kShape);
  none.add_string("llama.rope.scaling.type", "none");
  none.add_u32("llama.expert_count", 0);
  none.add_bool("llama.attention.causal", true);
  CHECK(load(none).ok());
  GgufWriter experts = make_tiny_llama(kShape);
  experts.add_u32("llama.expert_count", 8);
  check_rejected(load(experts), "llama.expert_count is 8");
  for (const char* key : {"llama.attention.scale", "llama.attn_logit_softcapping", "llama.final_logit_softcapping", "llama.attention.max_alibi_bias",
                          "llama.attention.clamp_kqv", "llama.rope.scaling.yarn_log_multiplier"}) {
    GgufWriter writer = make_tiny_llama(kShape);
    writer.add_f32(key, 0.5f);
    check_rejected(load(writer), std::string(key) + " is 0.5");
  }
  GgufWriter both_ways = make_tiny_llama(kShape);
  both_ways.add_bool("llama.attention.causal", false);
  check_rejected(load(both_ways), "llama.attention.causal is false");
  GgufWriter local_base = make_tiny_llama(kShape);
  local_base.add_f32("llama.rope.freq_base_swa", 10000.0f);
  check_rejected(load(local_base), "llama.rope.freq_base_swa has no meaning");
  GgufWriter split = make_tiny_llama(kShape);
  split.add_u32("split.count", 2);
  check_rejected(load(split), "2 parts");
  GgufWriter other = make_tiny_llama(kShape);
  other.remove("general.architecture");
  other.add_string("general.architecture", "mamba");
  check_rejected(load(other), "'mamba' is not supported; supported: llama, qwen2, qwen3, gemma3");
}

TEST_CASE("model values: RoPE scalings that are not known or not plausible are rejected by name") {
  GgufWriter unknown = make_tiny_llama(kShape);
  unknown.add_string("llama.rope.scaling.type", "longrope");
  check_rejected(load(unknown), "llama.rope.scaling.type is 'longrope'");
  struct Case {
    const char* key;
    float value;
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const Case cases[] = {{"factor", 0.5f},         {"factor", kNan},          {"factor", -2.0f},        {"attn_factor", 0.0f},
                        {"yarn_ext_factor", 2.0f}, {"yarn_beta_fast", 0.0f}, {"yarn_beta_slow", -1.0f}};
  for (const Case& c : cases) {
    CAPTURE(c.key);
    CAPTURE(c.value);
    GgufWriter writer = make_tiny_llama(kShape);
    writer.add_string("llama.rope.scaling.type", "yarn");
    const std::string key = std::string("llama.rope.scaling.") + c.key;
    writer.add_f32(key, c.value);
    check_rejected(load(writer), key);
  }
  GgufWriter context = make_tiny_llama(kShape);
  context.add_string("llama.rope.scaling.type", "yarn");
  context.add_u32("llama.rope.scaling.original_context_length", 0);
  check_rejected(load(context), "llama.rope.scaling.original_context_length is 0");
  GgufWriter linear = make_tiny_llama(kShape);
  linear.add_f32("llama.rope.scaling.factor", 4.0f);
  CHECK(load(linear).ok());
}

TEST_CASE("model values: head counts per layer are accepted when all are equal and rejected by name when not") {
  const auto with_heads = [](std::vector<int32_t> counts) {
    TinyLlama shape = kShape;
    shape.layers = 2;
    GgufWriter writer = make_tiny_llama(shape);
    writer.remove("llama.attention.head_count_kv");
    writer.add_i32s("llama.attention.head_count_kv", counts);
    return load(writer);
  };
  CHECK(with_heads({1, 1}).ok());
  check_rejected(with_heads({1, 2}), "llama.attention.head_count_kv differs between layers");
  check_rejected(with_heads({1}), "1 elements for 2 layers");
  check_rejected(with_heads({}), "0 elements");
  check_rejected(with_heads({-1, -1}), "must not be negative");
}

TEST_CASE("vocabulary: special ids outside it, types outside the list and arrays of other lengths are rejected") {
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.unknown_token_id"}) {
    GgufWriter writer = make_tiny_llama(kShape);
    writer.remove(key);
    writer.add_u32(key, 264);
    check_rejected(load(writer), key);
    writer.remove(key);
    writer.add_i32(key, -1);
    check_rejected(load(writer), key);
  }
  GgufWriter types = make_tiny_llama(kShape);
  types.remove("tokenizer.ggml.token_type");
  types.add_i32s("tokenizer.ggml.token_type", std::vector<int32_t>(263, 1));
  check_rejected(load(types), "263 elements for 264 tokens");
  types.remove("tokenizer.ggml.token_type");
  types.add_i32s("tokenizer.ggml.token_type", std::vector<int32_t>(264, 7));
  check_rejected(load(types), "has the type 7");
}

TEST_CASE("vocabulary: kinds and pre-tokenizers that are not supported are rejected by name") {
  GgufWriter kind = make_tiny_llama(kShape);
  kind.remove("tokenizer.ggml.model");
  kind.add_string("tokenizer.ggml.model", "rwkv");
  check_rejected(load(kind), "'rwkv'");
  GgufWriter pre = make_tiny_llama(kShape);
  pre.remove("tokenizer.ggml.pre");
  pre.add_string("tokenizer.ggml.pre", "klingon");
  check_rejected(load(pre), "'klingon'");
  pre.remove("tokenizer.ggml.pre");
  check_rejected(load(pre), "tokenizer.ggml.pre");
}

TEST_CASE("vocabulary: SentencePiece files without right scores, with tokens twice or without a byte are rejected") {
  const auto load_pieces = [](const SentencePieces& pieces) {
    TinyLlama shape = kShape;
    shape.vocabulary = static_cast<uint32_t>(pieces.tokens.size());
    GgufWriter writer = make_tiny_llama(shape);
    pieces.write(writer);
    return load(writer);
  };
  const Status good = load_pieces({});
  CHECK_MESSAGE(good.ok(), good.error().message);
  SentencePieces twice;
  twice.add("hello", 1, 0);
  check_rejected(load_pieces(twice), "token 271 has the same text as token 267");
  SentencePieces no_number;
  no_number.scores[260] = std::numeric_limits<float>::quiet_NaN();
  check_rejected(load_pieces(no_number), "the score of token 260 is not a number");
  SentencePieces few_scores;
  few_scores.scores.pop_back();
  check_rejected(load_pieces(few_scores), "270 elements for 271 tokens");
  SentencePieces no_byte;
  no_byte.types[kPieceFirstByte + 0x41] = 1;
  check_rejected(load_pieces(no_byte), "no byte token <0x41>");
  SentencePieces byte_twice;
  byte_twice.add("<0x41>", 6, 0);
  check_rejected(load_pieces(byte_twice), "token 271 stands for the same byte as token 68");
  for (const char* name : {"", "<0x4g>", "<0x41", "A", "<0x041>"}) {
    SentencePieces odd;
    odd.add(name, 6, 0);
    check_rejected(load_pieces(odd), "the byte token 271 is called");
  }
  TinyLlama shape = kShape;
  shape.vocabulary = 271;
  GgufWriter writer = make_tiny_llama(shape);
  SentencePieces().write(writer);
  writer.remove("tokenizer.ggml.scores");
  check_rejected(load(writer), "tokenizer.ggml.scores");
}

TEST_CASE("vocabulary: duplicate, empty and huge tokens, missing bytes and merges of nothing are borne") {
  std::vector<std::string> tokens(264, "a");
  tokens[1] = "";
  tokens[2] = std::string(1 << 20, 'x');
  tokens[3] = "aa";
  const std::vector<std::string> merges = {"a a", "aa a", "a b", " a", "a ", "", " ", "aa aa", "a  a", std::string(100, 'q')};
  GgufWriter writer = make_tiny_llama(kShape);
  writer.remove("tokenizer.ggml.tokens");
  writer.add_strings("tokenizer.ggml.tokens", tokens);
  writer.remove("tokenizer.ggml.merges");
  writer.add_strings("tokenizer.ggml.merges", merges);
  writer.remove("tokenizer.ggml.token_type");
  const std::vector<std::byte> bytes = writer.finish();
  const MemorySource source(bytes);
  const auto file = GgufFile::read(source);
  REQUIRE(file.ok());
  const auto tokenizer = Tokenizer::create(*file);
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.error().message);
  // "a" is its lowest id, 0; "aa" is 3; bytes that no token has become the unknown token.
  CHECK(*tokenizer->encode("aaa", SpecialTokens::parse) == std::vector<uint32_t>{3, 0});
  CHECK(*tokenizer->encode("ab", SpecialTokens::parse) == std::vector<uint32_t>{0, kTinyUnknown});
  for (const uint32_t id : {264u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) CHECK(tokenizer->token_bytes(id).empty());

  std::vector<int32_t> control(264, 3);
  writer.add_i32s("tokenizer.ggml.token_type", control);
  check_rejected(load(writer), "special token 2 has 1048576 bytes");
}
