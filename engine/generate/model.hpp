// Model: one model file made ready to run on one device: description, tokenizer, weights, cache, and the recorded step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_budget.hpp"
#include "cache/cache_group.hpp"
#include "cache/kv_cache.hpp"
#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "engine/forward/variant_set.hpp"
#include "engine/model/gguf_reader.hpp"
#include "engine/model/hyperparameters.hpp"
#include "engine/platform/byte_source.hpp"
#include "engine/text/chat_template.hpp"
#include "engine/text/tokenizer.hpp"

namespace quire {

/// Whether decode steps of one sequence run as one dispatch (persistent_decode.hpp). The results have the same bits.
enum class PersistentChoice : uint8_t {
  off,
  if_possible,  ///< where a probe shows that the device can
};

/// What became of that choice.
struct PersistentReport {
  std::string why_not;           ///< empty while it is in use
  uint32_t worker_count = 0;     ///< workgroups seen to run at the same time
  uint64_t step_count = 0;       ///< steps that ran so to their end
  uint32_t abandoned_count = 0;  ///< steps that were abandoned and ran again the ordinary way
};

struct ModelOptions {
  uint32_t context_length = 0;           ///< longest sequence; 0: what the model was trained for
  uint32_t chunk = 0;                    ///< most prompt tokens one step computes; 0: chosen from the device
  std::optional<VariantSet> variants;    ///< choose_variants of the device's limits or what tune_variants made of it; unset: the former
  CacheBudget* cache_budget = nullptr;   ///< shared with other models and outlives them; null: one of the model's own
  uint64_t cache_budget_bytes = 0;       ///< of the model's own budget; 0: 90 % of what the device has left after weights and scratch
  uint64_t slab_bytes = uint64_t{128} << 20;
  PageFill page_fill = PageFill::as_left; ///< what new pages hold: tests poison them
  std::string chat_template;             ///< by its name (ChatTemplate::named); "": recognised from the file's own
  Arithmetic arithmetic = Arithmetic::float32;  ///< of prompt tokens
  PersistentChoice persistent_decode = PersistentChoice::off;
  std::optional<uint32_t> persistent_spin_bound;  ///< reads of memory at one wait; unset: a bound of seconds
  std::optional<uint32_t> persistent_probe_spin_bound;  ///< likewise, in the probe; unset: some tens of milliseconds
  /// Called during loading with bytes done and in all; false cancels the load (Code::cancelled).
  std::function<bool(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

/// What a model needs on a device, computed without one (`quire inspect`) and equal to what is allocated.
struct MemoryPrediction {
  uint64_t weight_bytes = 0;
  uint64_t scratch_bytes = 0;            ///< activations, attention partials, logits
  uint64_t table_bytes = 0;              ///< columns, angles and selections of a step, what sampling takes, and the page tables for the context asked about
  uint64_t session_bytes = 0;            ///< per session: the newest token's logits
  uint64_t page_bytes_per_token = 0;     ///< over all groups, before windows
  uint64_t page_bytes_for_context = 0;   ///< whole pages for the context asked about, windows considered
  struct Group {
    CacheGroup group;
    uint32_t page_bytes = 0;             ///< of one page
    uint32_t pages_for_context = 0;      ///< held between steps
  };
  std::vector<Group> groups;             ///< as Model::cache_groups
};

/// Device memory that a model holds, as allocated.
struct ModelMemory {
  uint64_t weight_bytes = 0;
  uint64_t scratch_bytes = 0;
  uint64_t table_bytes = 0;              ///< of the steps and of sampling; page tables are the cache's
  CacheMemory cache;
};

/// What `inspect` needs: computed from the file's metadata and a device's limits, with the arithmetic that allocation uses.
/// On error: as Model::open where the file cannot run on such a device.
Result<MemoryPrediction> predict_memory(const GgufFile& file, const Limits& limits, const ModelOptions& options, uint32_t context, PageFormats formats);

class Model {
 public:
  /// On error: io, corrupt (the file), invalid_argument (options), unsupported (names the architecture, weight type, tokenizer or template), out_of_*_memory, cancelled.
  static Result<std::unique_ptr<Model>> open(Device& device, std::shared_ptr<ByteSource> file, const ModelOptions& options);
  ~Model();

  const GgufFile& file() const;
  const Hyperparameters& hyperparameters() const;
  const Tokenizer& tokenizer() const;
  /// Null if the file has no template that is recognised; `chat_template_error` says why.
  const ChatTemplate* chat_template() const;
  const Error& chat_template_error() const;
  /// The device's, with the model's arithmetic: with device and driver they fix every rounding.
  const VariantSet& variants() const;
  uint32_t context_length() const;
  uint32_t chunk() const;
  /// Bytes for one sequence of `context` tokens in `formats`.
  MemoryPrediction memory_prediction(uint32_t context, PageFormats formats) const;
  ModelMemory memory() const;
  CacheMemory cache_memory() const;
  const PersistentReport& persistent_decode() const;
  /// One a kind of layer: which layers share pages, and what their attention sees.
  std::span<const CacheGroup> cache_groups() const;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quire
