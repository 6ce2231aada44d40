// Small random models of every family, complete with a byte-level vocabulary and a chatml template, as GGUF files in memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.hpp"

namespace quire::testing {

struct TinyLlama {
  std::string architecture = "llama";
  uint32_t layers = 2;
  uint32_t embedding = 64;
  uint32_t feed_forward = 96;
  uint32_t heads = 4;
  uint32_t heads_kv = 2;
  uint32_t head_length = 16;
  uint32_t context = 512;
  uint32_t vocabulary = 300;  ///< at least 264: four control tokens, 256 bytes, four merges
  bool tied = true;
  uint64_t seed = 1;
};

inline constexpr uint32_t kTinyEndOfText = 0, kTinyImStart = 1, kTinyImEnd = 2, kTinyUnknown = 3, kTinyFirstByte = 4;

/// A byte as GPT-2's alphabet writes it.
inline std::string byte_as_text(uint32_t byte) {
  const auto as_itself = [](uint32_t b) { return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE; };
  uint32_t code_point = byte;
  if (!as_itself(byte)) {
    code_point = 0x100;
    for (uint32_t b = 0; b < byte; ++b) code_point += as_itself(b) ? 0u : 1u;
  }
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
}

/// Control tokens <|endoftext|>, <|im_start|>, <|im_end|>, <unk>, the 256 bytes in order, "he", "ll", "hell", "hello", and fillers up to `size`.
inline void add_byte_vocabulary(GgufWriter& writer, uint32_t size) {
  std::vector<std::string> tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"};
  for (uint32_t byte = 0; byte < 256; ++byte) tokens.push_back(byte_as_text(byte));
  for (const char* word : {"he", "ll", "hell", "hello"}) tokens.emplace_back(word);
  for (size_t i = tokens.size(); i < size; ++i) tokens.push_back("filler" + std::to_string(i));
  std::vector<int32_t> types(tokens.size(), 1);
  std::fill_n(types.begin(), 4, 3);
  const std::vector<std::string> merges = {"h e", "l l", "he ll", "hell o"};
  writer.add_string("tokenizer.ggml.model", "gpt2");
  writer.add_string("tokenizer.ggml.pre", "smollm");
  writer.add_strings("tokenizer.ggml.tokens", tokens);
  writer.add_i32s("tokenizer.ggml.token_type", types);
  writer.add_strings("tokenizer.ggml.merges", merges);
  writer.add_u32("tokenizer.ggml.bos_token_id", kTinyImStart);
  writer.add_u32("tokenizer.ggml.eos_token_id", kTinyImEnd);
  writer.add_u32("tokenizer.ggml.unknown_token_id", kTinyUnknown);
  writer.add_string("tokenizer.chat_template",
                    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
}

/// Numbers of a normal distribution, scaled so that a row of `width` has length about `gain`.
inline std::vector<std::byte> random_f32(uint64_t count, uint64_t width, float gain, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0.0f, gain / std::sqrt(static_cast<float>(width)));
  std::vector<float> numbers(static_cast<size_t>(count));
  for (float& number : numbers) number = normal(random);
  const auto bytes = std::as_bytes(std::span(numbers));
  return {bytes.begin(), bytes.end()};
}

inline void add_llama_metadata(GgufWriter& writer, const TinyLlama& shape) {
  const std::string prefix = shape.architecture + ".";
  writer.add_string("general.architecture", shape.architecture);
  writer.add_u32(prefix + "block_count", shape.layers);
  writer.add_u32(prefix + "context_length", shape.context);
  writer.add_u32(prefix + "embedding_length", shape.embedding);
  writer.add_u32(prefix + "feed_forward_length", shape.feed_forward);
  writer.add_u32(prefix + "attention.head_count", shape.heads);
  writer.add_u32(prefix + "attention.head_count_kv", shape.heads_kv);
  writer.add_u32(prefix + "attention.key_length", shape.head_length);
  writer.add_u32(prefix + "attention.value_length", shape.head_length);
  writer.add_u32(prefix + "rope.dimension_count", shape.head_length);
  writer.add_f32(prefix + "rope.freq_base", 10000.0f);
  writer.add_f32(prefix + "attention.layer_norm_rms_epsilon", 1e-5f);
}

/// A whole model with F32 weights.
inline GgufWriter make_tiny_llama(const TinyLlama& shape) {
  GgufWriter writer;
  add_llama_metadata(writer, shape);
  add_byte_vocabulary(writer, shape.vocabulary);
  std::mt19937_64 random(shape.seed);
  const auto matrix = [&](const std::string& name, uint64_t width, uint64_t rows) {
    writer.add_tensor(name, GgmlType::f32, {width, rows}, random_f32(width * rows, width, 1.0f, random));
  };
  const auto norm = [&](const std::string& name, uint64_t width) {
    const std::vector<float> ones(width, 1.0f);
    const auto bytes = std::as_bytes(std::span(ones));
    writer.add_tensor(name, GgmlType::f32, {width}, {bytes.begin(), bytes.end()});
  };
  const auto bias = [&](const std::string& name, uint64_t width) { writer.add_tensor(name, GgmlType::f32, {width}, random_f32(width, 1, 0.5f, random)); };
  const bool qwen2 = shape.architecture == "qwen2", gemma3 = shape.architecture == "gemma3";
  const uint64_t query = uint64_t{shape.heads} * shape.head_length;
  const uint64_t key = uint64_t{shape.heads_kv} * shape.head_length;
  // Rows of the embedding are longer than those of other matrices, so that logits spread enough for errors to show.
  writer.add_tensor("token_embd.weight", GgmlType::f32, {shape.embedding, shape.vocabulary},
                    random_f32(uint64_t{shape.embedding} * shape.vocabulary, shape.embedding, 3.0f, random));
  norm("output_norm.weight", shape.embedding);
  if (!shape.tied) matrix("output.weight", shape.embedding, shape.vocabulary);
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    norm(prefix + "attn_norm.weight", shape.embedding);
    matrix(prefix + "attn_q.weight", shape.embedding, query);
    matrix(prefix + "attn_k.weight", shape.embedding, key);
    matrix(prefix + "attn_v.weight", shape.embedding, key);
    matrix(prefix + "attn_output.weight", query, shape.embedding);
    if (qwen2) {
      bias(prefix + "attn_q.bias", query);
      bias(prefix + "attn_k.bias", key);
      bias(prefix + "attn_v.bias", key);
    }
    if (gemma3 || shape.architecture == "qwen3") {
      norm(prefix + "attn_q_norm.weight", shape.head_length);
      norm(prefix + "attn_k_norm.weight", shape.head_length);
    }
    if (gemma3) {
      norm(prefix + "post_attention_norm.weight", shape.embedding);
      norm(prefix + "post_ffw_norm.weight", shape.embedding);
    }
    norm(prefix + "ffn_norm.weight", shape.embedding);
    matrix(prefix + "ffn_gate.weight", shape.embedding, shape.feed_forward);
    matrix(prefix + "ffn_up.weight", shape.embedding, shape.feed_forward);
    matrix(prefix + "ffn_down.weight", shape.feed_forward, shape.embedding);
  }
  return writer;
}

}  // namespace quire::testing
