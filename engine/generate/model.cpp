#include "engine/generate/model.hpp"

#include <algorithm>
#include <cmath>

#include "engine/generate/model_impl.hpp"

namespace quire {
namespace {

/// The share of the device's free memory that pages may take unless the caller names a budget: what is left is the host's and the driver's.
constexpr double kShareOfFreeMemory = 0.9;

uint64_t default_budget_bytes(Device& device) {
  const DeviceMemory memory = device.memory();
  const uint64_t total = memory.heap_budget_bytes != 0 ? memory.heap_budget_bytes : device.limits().max_device_bytes;
  const uint64_t used = memory.heap_budget_bytes != 0 ? memory.heap_used_bytes : memory.buffer_bytes;
  if (total == 0) return UINT64_MAX / 2;
  return static_cast<uint64_t>(static_cast<double>(total - std::min(used, total)) * kShareOfFreeMemory);
}

/// One for each kind of layer. The file's factors are those of layers that see everything (Llama 3.1 has no others).
Result<std::vector<RopeFrequencies>> read_ropes(const GgufFile& file, const ByteSource& source, const Hyperparameters& hyper) {
  std::vector<float> factors;
  if (const TensorInfo* tensor = file.find_tensor("rope_freqs.weight")) {
    QUIRE_ASSIGN(factors, read_float_tensor(source, *tensor));
    const auto bad = std::find_if(factors.begin(), factors.end(), [](float factor) { return !std::isfinite(factor) || factor <= 0; });
    if (bad != factors.end())
      return make_error(Code::corrupt, "tensor rope_freqs.weight has the factor %g; it must be finite and above 0", static_cast<double>(*bad));
  }
  std::vector<RopeFrequencies> ropes;
  for (const RopeKind& kind : hyper.rope_kinds)
    ropes.push_back(rope_frequencies(kind, hyper.rope_dimension_count, ropes.empty() ? std::span<const float>(factors) : std::span<const float>()));
  return ropes;
}

/// A file without a template, or with one that is not recognised, is no failure: it can still be given text.
Status choose_chat_template(Model::Impl& impl, const std::string& name) {
  SpecialNames names = special_names(*impl.tokenizer);
  Result<ChatTemplate> chosen = name.empty() ? ChatTemplate::from_file(*impl.file, std::move(names)) : ChatTemplate::named(name, std::move(names));
  if (chosen.ok()) {
    impl.chat_template = std::move(*chosen);
  } else if (name.empty()) {
    impl.chat_template_error = std::move(chosen).error();
  } else {
    return std::move(chosen).error();
  }
  return {};
}

}  // namespace

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;

Result<SamplingBuffers> SamplingBuffers::create(Device& device) {
  SamplingBuffers buffers;
  QUIRE_ASSIGN(buffers.row, device.create_buffer(sizeof(SamplingRow), BufferUse::upload, "sampling row"));
  QUIRE_ASSIGN(buffers.result, device.create_buffer(sizeof(SampleResult), BufferUse::readback, "sampled token"));
  return buffers;
}

Result<std::unique_ptr<Model>> Model::open(Device& device, std::shared_ptr<ByteSource> source, const ModelOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->device = &device;
  impl->source = std::move(source);
  QUIRE_ASSIGN(GgufFile file, GgufFile::read(*impl->source));
  impl->file.emplace(std::move(file));
  QUIRE_ASSIGN(ModelPlan plan, plan_model(*impl->file, device.limits(), options));
  QUIRE_ASSIGN(Tokenizer tokenizer, Tokenizer::create(*impl->file));
  impl->tokenizer.emplace(std::move(tokenizer));
  QUIRE_TRY(choose_chat_template(*impl, options.chat_template));

  impl->hyper = plan.hyper;
  impl->variants = plan.variants;
  impl->groups = plan.groups;
  impl->layers = plan.layers;
  impl->context_length = plan.context_length;
  impl->chunk = plan.chunk;
  QUIRE_ASSIGN(impl->ropes, read_ropes(*impl->file, *impl->source, impl->hyper));
  impl->capacity = plan.capacity;
  impl->prediction = plan.prediction;

  QUIRE_ASSIGN(impl->weights, ModelWeights::load(device, *impl->source, plan.weights, impl->variants, options.progress));
  QUIRE_ASSIGN(impl->scratch, Scratch::create(device, impl->hyper, impl->capacity));
  QUIRE_ASSIGN(impl->tables, StepTableBuffer::create(device, impl->hyper, static_cast<uint32_t>(impl->groups.size()), plan.table_columns));
  QUIRE_ASSIGN(impl->sampling, SamplingBuffers::create(device));

  CacheBudget* budget = options.cache_budget;
  if (budget == nullptr) {
    impl->own_budget = std::make_unique<CacheBudget>(options.cache_budget_bytes != 0 ? options.cache_budget_bytes : default_budget_bytes(device));
    budget = impl->own_budget.get();
  }
  QUIRE_ASSIGN(impl->cache, KvCache::create(device, impl->groups, *budget, {.slab_bytes = options.slab_bytes, .page_fill = options.page_fill}));
  impl->persistent = PersistentDecode::start(*impl, options);
  return std::unique_ptr<Model>(new Model(std::move(impl)));
}

const GgufFile& Model::file() const { return *impl_->file; }
const Hyperparameters& Model::hyperparameters() const { return impl_->hyper; }
const Tokenizer& Model::tokenizer() const { return *impl_->tokenizer; }
const ChatTemplate* Model::chat_template() const { return impl_->chat_template ? &*impl_->chat_template : nullptr; }
const Error& Model::chat_template_error() const { return impl_->chat_template_error; }
const VariantSet& Model::variants() const { return impl_->variants; }
uint32_t Model::context_length() const { return impl_->context_length; }
uint32_t Model::chunk() const { return impl_->chunk; }
ModelMemory Model::memory() const {
  return {impl_->weights->allocated_bytes(), impl_->scratch->size_bytes(), impl_->tables->buffer.size_bytes() + SamplingBuffers::kBytes, impl_->cache->memory()};
}
const PersistentReport& Model::persistent_decode() const { return impl_->persistent.report(); }
CacheMemory Model::cache_memory() const { return impl_->cache->memory(); }
std::span<const CacheGroup> Model::cache_groups() const { return impl_->groups; }

MemoryPrediction Model::memory_prediction(uint32_t context, PageFormats formats) const {
  // The groups were checked with the widest format when the model was opened, so no page is too large here.
  return *with_context(impl_->prediction, impl_->groups, context, formats);
}

}  // namespace quire
