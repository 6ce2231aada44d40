#include "flags.hpp"

#include <algorithm>
#include <random>

namespace quire_app {

void add_model(Verb verb, ModelFlags& flags) {
  verb.add("MODEL", flags.positional, "a GGUF file, or a name of models.lock such as smollm2");
  verb.add("-m,--model", flags.option, "the same as MODEL");
}

void add_no_tune(Verb verb, ModelFlags& flags) {
  verb.add_switch("--no-tune", flags.no_tune, "use the defaults instead of what was measured on this device, measure nothing, and leave a software driver's threads where the system puts them");
}

void add_device(Verb verb, ModelFlags& flags) {
  verb.add("--device", flags.device,
                  "an index of `quire devices`, a part of a name or a UUID of a Vulkan device; or a backend: vulkan, reference, null, cuda");
  verb.add_switch("--validation", flags.validation, "turn Vulkan's validation layers on");
  add_no_tune(verb, flags);
  verb.add_switch("--persistent,!--no-persistent", flags.persistent,
                "on a software device, generate with one dispatch a token where a probe shows that it can: faster on an idle processor");
}

void add_context(Verb verb, ModelFlags& flags) {
  verb.add("-c,--ctx-size", flags.context_length, "longest timeline in tokens (0: what the model was trained for)");
}

void add_kv_parts(Verb verb, ModelFlags& flags) {
  verb.add("--kv-k,--cache-type-k", flags.kv_k, "page format of keys alone (also -ctk)");
  verb.add("--kv-v,--cache-type-v", flags.kv_v, "page format of values alone (also -ctv)");
}

void add_timeline(Verb verb, ModelFlags& flags) {
  add_context(verb, flags);
  verb.add("--kv", flags.kv, "page format of keys and values: f16, f32, q8").show_default();
  add_kv_parts(verb, flags);
}

void add_cache(Verb verb, ModelFlags& flags) {
  add_timeline(verb, flags);
  add_cache_limits(verb, flags);
  add_arithmetic(verb, flags);
}

void add_arithmetic(Verb verb, ModelFlags& flags) {
  verb.add("--arithmetic", flags.arithmetic,
                  "of prompt tokens: float, or int8, which rounds activations to 8 bits: other results, for GPUs with fast integer dot products")
      .show_default();
}

void add_cache_limits(Verb verb, ModelFlags& flags) {
  verb.add("--chunk,--ubatch-size", flags.chunk, "most prompt tokens computed in one step (0: chosen from the device)");
  verb.add("--cache-budget", flags.cache_budget_mib, "most device memory for pages, in MiB (0: 90 % of what is left)").range(uint64_t{0}, uint64_t{1} << 40);
}

void add_chat_template(Verb verb, ModelFlags& flags) {
  verb.add("--chat-template", flags.chat_template,
                  "how a conversation is written, instead of the model's own template: chatml, llama-2, llama-3, llama-3.1, mistral-v1, mistral-v3,\n"
                  "mistral-v3-tekken, gemma, phi-3, zephyr");
}

void add_sampling(Verb verb, SamplingFlags& flags) {
  verb.add("--temp", flags.temperature, "temperature; 0 is greedy").range(0.0, 1000.0).show_default();
  verb.add("--top-k", flags.top_k, "keep the k most likely tokens; 0 keeps all").show_default();
  verb.add("--top-p", flags.top_p, "keep the most likely tokens that together have this probability; 1 keeps all").range(0.0, 1.0).show_default();
  verb.add("--min-p", flags.min_p, "keep tokens at least this likely relative to the most likely; 0 keeps all").range(0.0, 1.0).show_default();
  verb.add("-s,--seed", flags.seed, "seed of the random choices; -1: a new one each run").show_default();
}

void add_json(Verb verb, bool& json) { verb.add_switch("--json", json, "print JSON to stdout"); }

uint64_t choose_seed(const SamplingFlags& flags) {
  if (flags.seed >= 0) return static_cast<uint64_t>(flags.seed);
  std::random_device random;
  return random();
}

quire_sampling sampling_of(const SamplingFlags& flags, uint64_t seed) {
  quire_sampling sampling{};
  sampling.struct_size = sizeof sampling;
  sampling.temperature = flags.temperature;
  sampling.top_k = flags.top_k;
  sampling.top_p = flags.top_p;
  sampling.min_p = flags.min_p;
  sampling.seed = seed;
  return sampling;
}

Outcome arithmetic_of(const ModelFlags& flags, quire_arithmetic& arithmetic) {
  if (flags.arithmetic != "float" && flags.arithmetic != "int8") return failure(kExitUsage, "arithmetic '" + flags.arithmetic + "' is none of float, int8");
  arithmetic = flags.arithmetic == "int8" ? QUIRE_ARITHMETIC_INT8 : QUIRE_ARITHMETIC_FLOAT;
  return {};
}

Outcome page_formats(const ModelFlags& flags, quire_page_format& k, quire_page_format& v) {
  const auto parse = [](const std::string& name, quire_page_format& format) -> Outcome {
    const auto found = std::find_if(kPageFormats.begin(), kPageFormats.end(), [&](const NamedPageFormat& known) { return known.name == name; });
    if (found == kPageFormats.end()) return failure(kExitUsage, "page format '" + name + "' is none of f16, f32, q8");
    format = found->format;
    return {};
  };
  QUIRE_APP_TRY(parse(flags.kv_k.empty() ? flags.kv : flags.kv_k, k));
  return parse(flags.kv_v.empty() ? flags.kv : flags.kv_v, v);
}

}  // namespace quire_app
