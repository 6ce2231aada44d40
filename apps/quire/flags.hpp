// Flags that several verbs share, with llama.cpp's names where it has them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "command_line.hpp"
#include "outcome.hpp"

namespace quire_app {

struct ModelFlags {
  std::string positional;       ///< MODEL
  std::string option;           ///< -m
  std::string device;
  std::string kv = "f16", kv_k, kv_v;
  std::string arithmetic = "float";
  std::string chat_template;    ///< "": the model's own
  uint32_t context_length = 0;
  uint32_t chunk = 0;
  uint64_t cache_budget_mib = 0;
  bool validation = false;
  bool no_tune = false;
  bool keep_vector_width = false;  ///< the environment's, or the driver's own: for the child process that measures one
  bool persistent = false;

  const std::string& model() const { return option.empty() ? positional : option; }
};

struct SamplingFlags {
  float temperature = 0.8f;
  uint32_t top_k = 40;
  float top_p = 0.95f;
  float min_p = 0.05f;
  int64_t seed = -1;            ///< -1: a different one each run
};

void add_model(Verb verb, ModelFlags& flags);
/// add_no_tune too.
void add_device(Verb verb, ModelFlags& flags);
void add_context(Verb verb, ModelFlags& flags);
/// Formats of keys and values apart.
void add_kv_parts(Verb verb, ModelFlags& flags);
/// Chunk and budget.
void add_cache_limits(Verb verb, ModelFlags& flags);
void add_arithmetic(Verb verb, ModelFlags& flags);
void add_no_tune(Verb verb, ModelFlags& flags);
/// Context and page formats: what the bytes of a timeline follow from.
void add_timeline(Verb verb, ModelFlags& flags);
/// The same, chunk and budget, and arithmetic.
void add_cache(Verb verb, ModelFlags& flags);
void add_chat_template(Verb verb, ModelFlags& flags);
void add_sampling(Verb verb, SamplingFlags& flags);
void add_json(Verb verb, bool& json);

/// The seed to use: given, or taken from the system's randomness.
uint64_t choose_seed(const SamplingFlags& flags);
quire_sampling sampling_of(const SamplingFlags& flags, uint64_t seed);

struct NamedPageFormat {
  quire_page_format format;
  std::string_view name;
};
/// As `--kv` takes them.
inline constexpr std::array<NamedPageFormat, 3> kPageFormats = {{{QUIRE_PAGE_F16, "f16"}, {QUIRE_PAGE_F32, "f32"}, {QUIRE_PAGE_Q8, "q8"}}};

/// On error: kExitUsage.
Outcome arithmetic_of(const ModelFlags& flags, quire_arithmetic& arithmetic);
/// On error: kExitUsage.
Outcome page_formats(const ModelFlags& flags, quire_page_format& k, quire_page_format& v);

}  // namespace quire_app
