#include "engine/model/family.hpp"

#include <algorithm>
#include <array>

namespace quire {
namespace {

constexpr TensorRule kTokenEmbedding{"token_embd.weight", Extent::embedding, Extent::vocabulary};
constexpr TensorRule kOutputNorm{"output_norm.weight", Extent::embedding};
constexpr TensorRule kOutput{"output.weight", Extent::embedding, Extent::vocabulary, Presence::optional};

constexpr std::array kPlainModel = std::to_array<TensorRule>({kTokenEmbedding, kOutputNorm, kOutput});

constexpr std::array kLlamaModel = std::to_array<TensorRule>({
    kTokenEmbedding, kOutputNorm, kOutput,
    {"rope_freqs.weight", Extent::rope_pairs, Extent::one, Presence::optional},
});

constexpr TensorRule kAttentionNorm{"attn_norm.weight", Extent::embedding};
constexpr TensorRule kQuery{"attn_q.weight", Extent::embedding, Extent::query};
constexpr TensorRule kKey{"attn_k.weight", Extent::embedding, Extent::key};
constexpr TensorRule kValue{"attn_v.weight", Extent::embedding, Extent::value};
constexpr TensorRule kAttentionOut{"attn_output.weight", Extent::attended, Extent::embedding};
constexpr TensorRule kQueryNorm{"attn_q_norm.weight", Extent::head};
constexpr TensorRule kKeyNorm{"attn_k_norm.weight", Extent::head};
constexpr TensorRule kFeedForwardNorm{"ffn_norm.weight", Extent::embedding};
constexpr TensorRule kGate{"ffn_gate.weight", Extent::embedding, Extent::feed_forward};
constexpr TensorRule kUp{"ffn_up.weight", Extent::embedding, Extent::feed_forward};
constexpr TensorRule kDown{"ffn_down.weight", Extent::feed_forward, Extent::embedding};

constexpr std::array kLlamaLayer = std::to_array<TensorRule>({
    kAttentionNorm, kQuery, kKey, kValue, kAttentionOut, kFeedForwardNorm, kGate, kUp, kDown,
    {"attn_q.bias", Extent::query, Extent::one, Presence::optional},
    {"attn_k.bias", Extent::key, Extent::one, Presence::optional},
    {"attn_v.bias", Extent::value, Extent::one, Presence::optional},
    {"attn_output.bias", Extent::embedding, Extent::one, Presence::optional},
    {"ffn_gate.bias", Extent::feed_forward, Extent::one, Presence::optional},
    {"ffn_up.bias", Extent::feed_forward, Extent::one, Presence::optional},
    {"ffn_down.bias", Extent::embedding, Extent::one, Presence::optional},
});

constexpr std::array kQwen2Layer = std::to_array<TensorRule>({
    kAttentionNorm, kQuery, kKey, kValue, kAttentionOut, kFeedForwardNorm, kGate, kUp, kDown,
    {"attn_q.bias", Extent::query},
    {"attn_k.bias", Extent::key},
    {"attn_v.bias", Extent::value},
});

constexpr std::array kQwen3Layer = std::to_array<TensorRule>({
    kAttentionNorm, kQuery, kKey, kValue, kQueryNorm, kKeyNorm, kAttentionOut, kFeedForwardNorm, kGate, kUp, kDown,
});

constexpr std::array kGemma3Layer = std::to_array<TensorRule>({
    kAttentionNorm, kQuery, kKey, kValue, kQueryNorm, kKeyNorm, kAttentionOut,
    {"post_attention_norm.weight", Extent::embedding},
    kFeedForwardNorm, kGate, kUp, kDown,
    {"post_ffw_norm.weight", Extent::embedding},
});

// Gemma 3 (Gemma Team 2025): five layers of six see a window and keep RoPE's base of 10,000; the largest model, of 62 layers, was trained with
// queries scaled by its width per head.
constexpr std::array kFamilies = std::to_array<Family>({
    {"llama", RopeOrder::normal, GateFunction::silu, EmbeddingScale::one, WindowRule::all_layers, 0, 0, kLlamaModel, kLlamaLayer},
    {"qwen2", RopeOrder::neox, GateFunction::silu, EmbeddingScale::one, WindowRule::none, 0, 0, kPlainModel, kQwen2Layer},
    {"qwen3", RopeOrder::neox, GateFunction::silu, EmbeddingScale::one, WindowRule::none, 0, 0, kPlainModel, kQwen3Layer},
    {"gemma3", RopeOrder::neox, GateFunction::gelu, EmbeddingScale::root_of_width, WindowRule::five_of_six, 10000.0f, 62, kPlainModel, kGemma3Layer},
});

}  // namespace

uint64_t extent_of(const Hyperparameters& hyper, Extent extent) {
  switch (extent) {
    case Extent::one: return 1;
    case Extent::embedding: return hyper.embedding_length;
    case Extent::vocabulary: return hyper.vocabulary_size;
    case Extent::feed_forward: return hyper.feed_forward_length;
    case Extent::query: return uint64_t{hyper.head_count} * hyper.key_length;
    case Extent::key: return uint64_t{hyper.head_count_kv} * hyper.key_length;
    case Extent::value: return uint64_t{hyper.head_count_kv} * hyper.value_length;
    case Extent::attended: return uint64_t{hyper.head_count} * hyper.value_length;
    case Extent::head: return hyper.key_length;
    case Extent::rope_pairs: return hyper.rope_dimension_count / 2;
  }
  return 0;
}

const Family* find_family(std::string_view architecture) {
  const auto found = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& f) { return f.architecture == architecture; });
  return found != kFamilies.end() ? &*found : nullptr;
}

std::string family_names() {
  std::string names;
  for (const Family& family : kFamilies) names += (names.empty() ? "" : ", ") + std::string(family.architecture);
  return names;
}

}  // namespace quire
