// Everything about running a model file on a device that can be decided before the device allocates a byte.
#include <algorithm>
#include <iterator>

#include "engine/base/checked.hpp"
#include "engine/generate/model_impl.hpp"

namespace quire {
namespace {

constexpr uint32_t kMaxChunk = 4096;
/// Columns that sessions with short chunks share.
constexpr uint32_t kLeastPromptColumns = 128;
/// Sessions that can generate in one step; more wait for the next.
constexpr uint32_t kGeneratedColumns = 64;

/// As few groups of about equally many layers as let a page of each be no larger than a page may be.
Result<std::vector<CacheGroup>> split_to_page_limit(const CacheGroup& whole) {
  for (size_t part_count = 1;; ++part_count) {
    const size_t part_layers = ceil_div(whole.layers.size(), part_count);
    std::vector<CacheGroup> parts;
    for (size_t begin = 0; begin < whole.layers.size(); begin += part_layers) {
      CacheGroup part = whole;
      const size_t end = std::min(begin + part_layers, whole.layers.size());
      part.layers.assign(whole.layers.begin() + static_cast<ptrdiff_t>(begin), whole.layers.begin() + static_cast<ptrdiff_t>(end));
      parts.push_back(std::move(part));
    }
    const Result<uint32_t> tokens = choose_tokens_per_page(parts.front());
    if (!tokens.ok() && (tokens.code() != Code::unsupported || part_layers == 1)) return tokens.error();
    if (!tokens.ok()) continue;
    for (CacheGroup& part : parts) {
      part.tokens_per_page = *tokens;
      QUIRE_TRY(check_cache_group(part));
    }
    return parts;
  }
}

uint32_t round_up(uint32_t value, uint32_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// The device's chunk, shorter where a chunk's product with the model's largest matrix of a layer would not fit a submission: one dispatch cannot be split.
uint32_t default_chunk(const Hyperparameters& hyper, const VariantSet& variants, const Limits& limits) {
  const uint64_t qkv_rows = uint64_t{hyper.head_count} * hyper.key_length + uint64_t{hyper.head_count_kv} * (hyper.key_length + hyper.value_length);
  const uint64_t macs = hyper.embedding_length * std::max({qkv_rows, uint64_t{2} * hyper.feed_forward_length, uint64_t{hyper.head_count} * hyper.value_length});
  const uint64_t tiles = limits.submission_macs / (macs * variants.many_column_tile);
  return static_cast<uint32_t>(std::clamp<uint64_t>(tiles * variants.many_column_tile, variants.many_column_tile, variants.prompt_chunk));
}

}  // namespace

Result<std::vector<CacheGroup>> make_cache_groups(const Hyperparameters& hyper) {
  std::vector<CacheGroup> by_window;
  for (uint32_t layer = 0; layer < hyper.block_count; ++layer) {
    const uint32_t window = hyper.layer_window(layer);
    auto group = std::find_if(by_window.begin(), by_window.end(), [&](const CacheGroup& g) { return g.window == window; });
    if (group == by_window.end()) {
      by_window.push_back({.kv_heads = hyper.head_count_kv, .k_dim = hyper.key_length, .v_dim = hyper.value_length, .window = window});
      group = by_window.end() - 1;
    }
    group->layers.push_back(layer);
  }
  std::vector<CacheGroup> groups;
  for (const CacheGroup& whole : by_window) {
    QUIRE_ASSIGN(std::vector<CacheGroup> parts, split_to_page_limit(whole));
    std::move(parts.begin(), parts.end(), std::back_inserter(groups));
  }
  return groups;
}

std::vector<LayerAttention> place_layers(const Hyperparameters& hyper, std::span<const CacheGroup> groups) {
  std::vector<LayerAttention> layers(hyper.block_count);
  for (uint32_t g = 0; g < groups.size(); ++g)
    for (uint32_t layer = 0; layer < hyper.block_count; ++layer)
      if (const auto cache_layer = groups[g].cache_layer(layer))
        layers[layer] = {.group = g,
                         .shape = {.page = groups[g].page_shape(),
                                   .layer = *cache_layer,
                                   .q_heads = hyper.head_count,
                                   .window = groups[g].window,
                                   .scale = hyper.attention_scale},
                         .rope_kind = hyper.layer_rope_kind(layer)};
  return layers;
}

Result<ModelPlan> plan_model(const GgufFile& file, const Limits& limits, const ModelOptions& options) {
  ModelPlan plan;
  QUIRE_ASSIGN(plan.hyper, read_hyperparameters(file));
  QUIRE_TRY(check_tensors(file, plan.hyper));
  plan.variants = options.variants.value_or(choose_variants(limits));
  if (options.arithmetic == Arithmetic::int8 && !limits.integer_dot_product)
    return make_error(Code::unsupported, "8-bit arithmetic needs a device with integer dot products (shaderIntegerDotProduct), which this one lacks");
  plan.variants.many_arithmetic = options.arithmetic;
  QUIRE_ASSIGN(plan.weights, plan_weights(file, plan.hyper, limits, plan.variants));
  QUIRE_ASSIGN(plan.groups, make_cache_groups(plan.hyper));
  plan.layers = place_layers(plan.hyper, plan.groups);

  if (options.context_length > plan.hyper.context_length)
    return make_error(Code::invalid_argument, "a context of %u tokens is more than the %u the model was trained for", options.context_length,
                      plan.hyper.context_length);
  plan.context_length = options.context_length != 0 ? options.context_length : plan.hyper.context_length;
  if (options.chunk > kMaxChunk) return make_error(Code::invalid_argument, "a chunk of %u tokens is more than %u", options.chunk, kMaxChunk);
  plan.chunk = std::min(options.chunk != 0 ? options.chunk : default_chunk(plan.hyper, plan.variants, limits), plan.context_length);

  // A chunk may be shared by several sessions, each starting on a tile of its own.
  plan.capacity.prompt_columns = round_up(std::max(plan.chunk, kLeastPromptColumns), plan.variants.many_column_tile);
  plan.capacity.quantized_columns = options.arithmetic == Arithmetic::int8 ? plan.capacity.prompt_columns : 0;
  plan.capacity.generated_columns = kGeneratedColumns;
  for (const CacheGroup& group : plan.groups)
    plan.capacity.split_count = std::max(plan.capacity.split_count, split_count_for(plan.variants, plan.context_length - 1, group.window));
  plan.table_columns = std::max(plan.capacity.prompt_columns, plan.capacity.generated_columns);

  plan.prediction.weight_bytes = plan.weights.total_bytes();
  plan.prediction.scratch_bytes = ScratchLayout::plan(plan.hyper, plan.capacity).total_bytes;
  plan.prediction.table_bytes =
      StepTableLayout::plan(plan.hyper, static_cast<uint32_t>(plan.groups.size()), plan.table_columns).total_bytes + SamplingBuffers::kBytes;
  if (plan.prediction.scratch_bytes > limits.max_buffer_bytes)
    return make_error(Code::unsupported, "steps of %u tokens need %llu bytes of scratch, more than the device's largest buffer of %llu bytes",
                      plan.capacity.prompt_columns, static_cast<unsigned long long>(plan.prediction.scratch_bytes),
                      static_cast<unsigned long long>(limits.max_buffer_bytes));
  plan.prediction.session_bytes = uint64_t{plan.hyper.vocabulary_size} * sizeof(float);
  return plan;
}

Result<MemoryPrediction> with_context(MemoryPrediction prediction, std::span<const CacheGroup> groups, uint32_t context, PageFormats formats) {
  for (const CacheGroup& group : groups) {
    QUIRE_ASSIGN(const uint32_t page, checked_page_bytes(group.page_shape(), formats));
    prediction.groups.push_back({group, page, held_pages(group, context)});
    prediction.page_bytes_per_token += page / group.tokens_per_page;
    prediction.page_bytes_for_context += uint64_t{held_pages(group, context)} * page;
    prediction.table_bytes += PageTable::bytes_for(page_count(group, context));
  }
  return prediction;
}

Result<MemoryPrediction> predict_memory(const GgufFile& file, const Limits& limits, const ModelOptions& options, uint32_t context, PageFormats formats) {
  QUIRE_ASSIGN(const ModelPlan plan, plan_model(file, limits, options));
  return with_context(plan.prediction, plan.groups, context, formats);
}

}  // namespace quire
