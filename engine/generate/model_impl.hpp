// What a Model holds; seen by the files of engine/generate only.
#pragma once

#include <optional>

#include "cache/kv_cache.hpp"
#include "engine/forward/forward_pass.hpp"
#include "engine/generate/kept_steps.hpp"
#include "engine/generate/model.hpp"
#include "engine/generate/persistent_decode.hpp"
#include "engine/generate/step_tables.hpp"

namespace quire {

/// What one token's sampling takes to the device and back. Shared by the sessions: sampling waits for its answer.
struct SamplingBuffers {
  static constexpr uint64_t kBytes = sizeof(SamplingRow) + sizeof(SampleResult);
  static Result<SamplingBuffers> create(Device& device);
  Buffer row;     ///< upload, SamplingRow
  Buffer result;  ///< readback, SampleResult
};

struct Model::Impl {
  Device* device = nullptr;
  std::shared_ptr<ByteSource> source;
  std::optional<GgufFile> file;
  Hyperparameters hyper;
  std::optional<Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  Error chat_template_error;
  uint32_t context_length = 0;
  uint32_t chunk = 0;
  VariantSet variants;
  std::vector<LayerAttention> layers;   ///< where each layer's K and V live
  std::vector<RopeFrequencies> ropes;   ///< one a RoPE kind
  StepCapacity capacity;
  MemoryPrediction prediction;          ///< all but what a context adds
  std::vector<CacheGroup> groups;
  std::unique_ptr<CacheBudget> own_budget;  ///< null: the budget is the caller's
  std::optional<ModelWeights> weights;
  std::optional<Scratch> scratch;
  std::optional<StepTableBuffer> tables;
  SamplingBuffers sampling;
  std::optional<KvCache> cache;
  PersistentDecode persistent;
  KeptSteps kept_steps;
  bool in_step = false;                 ///< scratch and tables belong to the step that has begun
};

/// Everything about running a file on a device that needs no device.
struct ModelPlan {
  Hyperparameters hyper;
  VariantSet variants;
  WeightPlan weights;
  std::vector<CacheGroup> groups;
  std::vector<LayerAttention> layers;
  uint32_t context_length = 0;
  uint32_t chunk = 0;
  StepCapacity capacity;
  uint32_t table_columns = 0;
  MemoryPrediction prediction;          ///< without what a context adds
};
Result<ModelPlan> plan_model(const GgufFile& file, const Limits& limits, const ModelOptions& options);
/// Adds the pages and page tables of one sequence of `context` tokens to the prediction. On error: unsupported (a page too large).
Result<MemoryPrediction> with_context(MemoryPrediction prediction, std::span<const CacheGroup> groups, uint32_t context, PageFormats formats);

/// The cache groups of a model, and each layer's place in them: layers with the same window share a group, or several where a page of
/// all of them would be too large.
Result<std::vector<CacheGroup>> make_cache_groups(const Hyperparameters& hyper);
std::vector<LayerAttention> place_layers(const Hyperparameters& hyper, std::span<const CacheGroup> groups);

}  // namespace quire
