#include "engine/model/hyperparameters.hpp"

#include <algorithm>
#include <cinttypes>
#include <cmath>

#include "engine/model/family.hpp"

namespace quire {
namespace {

constexpr uint32_t kLargestHead = 256;
constexpr uint32_t kHeadMultiple = 8;

Status check_range(const std::string& key, uint32_t value, uint32_t least, uint32_t most) {
  if (value >= least && value <= most) return {};
  return make_error(Code::corrupt, "%s is %" PRIu32 "; %" PRIu32 " to %" PRIu32 " are possible", key.c_str(), value, least, most);
}

/// Reads "<architecture>.<name>" keys.
class HyperReader {
 public:
  HyperReader(const GgufFile& file, std::string_view architecture) : file_(file), prefix_(std::string(architecture) + ".") {}

  bool has(std::string_view name) const { return file_.has(key(name)); }
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }

  Result<uint32_t> number(std::string_view name, uint32_t least, uint32_t most) const {
    QUIRE_ASSIGN(const uint32_t value, file_.get_u32(key(name)));
    QUIRE_TRY(check_range(key(name), value, least, most));
    return value;
  }

  Result<uint32_t> number_or(std::string_view name, uint32_t fallback, uint32_t least, uint32_t most) const {
    if (file_.has(key(name))) return number(name, least, most);
    QUIRE_TRY(check_range(key(name) + " (by default)", fallback, least, most));
    return fallback;
  }

  /// A finite number. On error: corrupt.
  Result<float> real_or(std::string_view name, float fallback, float least, float most) const {
    QUIRE_ASSIGN(const float value, file_.get_f32_or(key(name), fallback));
    if (value >= least && value <= most) return value;
    return make_error(Code::corrupt, "%s is %g; %g to %g are possible", key(name).c_str(), static_cast<double>(value), static_cast<double>(least),
                      static_cast<double>(most));
  }

  /// A number, or an array with the same number for every layer.
  Result<uint32_t> per_layer(std::string_view name, uint32_t layers, uint32_t least, uint32_t most) const {
    if (!is_array(name)) return number(name, least, most);
    QUIRE_ASSIGN(const std::vector<int32_t> values, file_.get_i32_array(key(name)));
    if (values.size() != layers) {
      return make_error(Code::corrupt, "%s has %zu elements for %" PRIu32 " layers", key(name).c_str(), values.size(), layers);
    }
    const auto other = std::find_if(values.begin(), values.end(), [&](int32_t value) { return value != values.front(); });
    if (other != values.end()) {
      return make_error(Code::unsupported, "%s differs between layers (%" PRId32 " and %" PRId32 ")", key(name).c_str(), values.front(), *other);
    }
    if (values.front() < 0) return make_error(Code::corrupt, "%s is %" PRId32 "; it must not be negative", key(name).c_str(), values.front());
    QUIRE_TRY(check_range(key(name), static_cast<uint32_t>(values.front()), least, most));
    return static_cast<uint32_t>(values.front());
  }

 private:
  bool is_array(std::string_view name) const { return file_.get_i32_array(key(name)).ok(); }

  const GgufFile& file_;
  std::string prefix_;
};

/// Keys that change the maths in a way no family here has, unless they hold the value that changes nothing.
Status refuse_unknown_maths(const GgufFile& file, const HyperReader& reader) {
  struct Neutral {
    std::string_view name;
    double value;
  };
  constexpr Neutral kNeutral[] = {
      {"expert_count", 0},         {"attention.clamp_kqv", 0},       {"attention.max_alibi_bias", 0},       {"logit_scale", 1},
      {"embedding_scale", 1},      {"residual_scale", 1},            {"attention.scale", 0},                {"attn_logit_softcapping", 0},
      {"final_logit_softcapping", 0}, {"attention.temperature_scale", 0}, {"rope.scaling.yarn_log_multiplier", 0},
  };
  for (const Neutral& neutral : kNeutral) {
    const std::string key = reader.key(neutral.name);
    if (!file.has(key)) continue;
    const Result<float> real = file.get_f32(key);
    const Result<uint64_t> integer = file.get_u64(key);
    if (!real.ok() && !integer.ok()) return integer.error();
    const double value = real.ok() ? static_cast<double>(*real) : static_cast<double>(*integer);
    if (value != neutral.value) return make_error(Code::unsupported, "%s is %g; only %g is supported", key.c_str(), value, neutral.value);
  }
  const std::string causal_key = reader.key("attention.causal");
  QUIRE_ASSIGN(const bool causal, file.get_bool_or(causal_key, true));
  if (!causal) return make_error(Code::unsupported, "%s is false; only attention to earlier tokens is supported", causal_key.c_str());
  return {};
}

Status check_head_length(const std::string& key, uint32_t length) {
  if (length >= kHeadMultiple && length <= kLargestHead && length % kHeadMultiple == 0) return {};
  return make_error(Code::unsupported, "%s is %" PRIu32 "; multiples of %" PRIu32 " up to %" PRIu32 " are supported", key.c_str(), length, kHeadMultiple,
                    kLargestHead);
}

Status read_heads(const HyperReader& reader, Hyperparameters& hyper) {
  constexpr uint32_t kMostHeads = 4096;
  QUIRE_ASSIGN(hyper.head_count, reader.per_layer("attention.head_count", hyper.block_count, 1, kMostHeads));
  hyper.head_count_kv = hyper.head_count;
  const Result<uint32_t> kv = reader.per_layer("attention.head_count_kv", hyper.block_count, 1, hyper.head_count);
  if (kv.ok()) {
    hyper.head_count_kv = *kv;
  } else if (reader.has("attention.head_count_kv")) {
    return kv.error();
  }
  if (hyper.head_count % hyper.head_count_kv != 0) {
    return make_error(Code::corrupt, "%s is %" PRIu32 ", no multiple of the %" PRIu32 " KV heads", reader.key("attention.head_count").c_str(),
                      hyper.head_count, hyper.head_count_kv);
  }
  const bool explicit_length = reader.has("attention.key_length");
  if (!explicit_length && hyper.embedding_length % hyper.head_count != 0) {
    return make_error(Code::corrupt, "%s is %" PRIu32 ", no multiple of the %" PRIu32 " heads", reader.key("embedding_length").c_str(),
                      hyper.embedding_length, hyper.head_count);
  }
  constexpr uint32_t kAny = 0xffffffffu;
  const uint32_t derived = hyper.embedding_length / hyper.head_count;
  QUIRE_ASSIGN(hyper.key_length, reader.number_or("attention.key_length", derived, 0, kAny));
  QUIRE_ASSIGN(hyper.value_length, reader.number_or("attention.value_length", derived, 0, kAny));
  QUIRE_TRY(check_head_length(reader.key(explicit_length ? "attention.key_length" : "embedding_length / head_count"), hyper.key_length));
  return check_head_length(reader.key("attention.value_length"), hyper.value_length);
}

/// How positions are stretched beyond the trained context. (ggml: docs/gguf.md; a factor without a type means linear scaling.)
Status read_rope_scaling(const GgufFile& file, const HyperReader& reader, uint32_t context_length, RopeKind& rope) {
  const std::string type_key = reader.key("rope.scaling.type");
  std::string_view type = "linear";
  if (file.has(type_key)) {
    QUIRE_ASSIGN(type, file.get_string(type_key));
  }
  QUIRE_ASSIGN(rope.magnitude, reader.real_or("rope.scaling.attn_factor", 1.0f, 0.01f, 100.0f));
  if (type == "none") return {};
  if (type != "linear" && type != "yarn") {
    return make_error(Code::unsupported, "%s is '%s'; none, linear and yarn are supported", type_key.c_str(), std::string(type.substr(0, 40)).c_str());
  }
  const char* factor_name = reader.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  QUIRE_ASSIGN(rope.factor, reader.real_or(factor_name, 1.0f, 0.0f, 1e6f));
  if (rope.factor == 0) rope.factor = 1;
  if (type == "linear") return {};
  if (rope.factor < 1) {
    return make_error(Code::corrupt, "%s is %g; with yarn it is at least 1", reader.key(factor_name).c_str(), static_cast<double>(rope.factor));
  }
  QUIRE_ASSIGN(rope.extrapolation, reader.real_or("rope.scaling.yarn_ext_factor", 1.0f, -1.0f, 1.0f));
  if (rope.extrapolation < 0) rope.extrapolation = 1;
  QUIRE_ASSIGN(rope.beta_fast, reader.real_or("rope.scaling.yarn_beta_fast", 32.0f, 1e-3f, 1e6f));
  QUIRE_ASSIGN(rope.beta_slow, reader.real_or("rope.scaling.yarn_beta_slow", 1.0f, 1e-3f, 1e6f));
  QUIRE_ASSIGN(rope.original_context, reader.number_or("rope.scaling.original_context_length", context_length, 1, uint32_t{1} << 30));
  return {};
}

Result<float> read_rope_base(const HyperReader& reader, std::string_view name, float fallback) { return reader.real_or(name, fallback, 1.0f, 1e30f); }

/// Requires: the windows are read.
Status read_rope(const GgufFile& file, const HyperReader& reader, const Family& family, Hyperparameters& hyper) {
  QUIRE_ASSIGN(hyper.rope_dimension_count, reader.number_or("rope.dimension_count", hyper.key_length, 2, hyper.key_length));
  if (hyper.rope_dimension_count % 2 != 0) {
    return make_error(Code::corrupt, "%s is %" PRIu32 "; it must be even", reader.key("rope.dimension_count").c_str(), hyper.rope_dimension_count);
  }
  hyper.rope_order = family.rope_order;
  RopeKind rope;
  QUIRE_ASSIGN(rope.base, read_rope_base(reader, "rope.freq_base", 10000.0f));
  QUIRE_TRY(read_rope_scaling(file, reader, hyper.context_length, rope));
  if (rope.extrapolation != 0 && rope.base == 1) {
    return make_error(Code::corrupt, "%s is 1, which yarn cannot scale", reader.key("rope.freq_base").c_str());
  }
  hyper.rope_kinds = {rope};
  if (family.window_rope_base != 0) {
    RopeKind windowed{.magnitude = rope.magnitude};
    QUIRE_ASSIGN(windowed.base, read_rope_base(reader, "rope.freq_base_swa", family.window_rope_base));
    if (hyper.sliding_window != 0) hyper.rope_kinds.push_back(windowed);
  } else if (reader.has("rope.freq_base_swa")) {
    return make_error(Code::unsupported, "%s has no meaning in family %s", reader.key("rope.freq_base_swa").c_str(), hyper.architecture.c_str());
  }
  return {};
}

/// A window on every layer, or on all but every n-th one.
Status read_windows(const HyperReader& reader, const Family& family, Hyperparameters& hyper) {
  QUIRE_ASSIGN(hyper.sliding_window, reader.number_or("attention.sliding_window", 0, 0, uint32_t{1} << 30));
  if (family.windows == WindowRule::none) {
    if (hyper.sliding_window != 0 && hyper.sliding_window < hyper.context_length) {
      return make_error(Code::unsupported, "%s is %" PRIu32 ", below the context of %" PRIu32 "; family %s has no windows here",
                        reader.key("attention.sliding_window").c_str(), hyper.sliding_window, hyper.context_length, hyper.architecture.c_str());
    }
    hyper.sliding_window = 0;
  }
  constexpr uint32_t kMostLayers = 4096;
  const uint32_t usual = family.windows == WindowRule::five_of_six ? 6 : 0;
  QUIRE_ASSIGN(hyper.sliding_window_pattern, reader.number_or("attention.sliding_window_pattern", usual, 0, kMostLayers));
  return {};
}

Status read_vocabulary_size(const GgufFile& file, const HyperReader& reader, Hyperparameters& hyper) {
  constexpr uint32_t kMostTokens = uint32_t{1} << 24;
  constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
  if (!file.has(kTokens)) {
    QUIRE_ASSIGN(hyper.vocabulary_size, reader.number("vocab_size", 1, kMostTokens));
    return {};
  }
  QUIRE_ASSIGN(const StringArray tokens, file.get_strings(kTokens));
  if (tokens.size() == 0 || tokens.size() > kMostTokens) {
    return make_error(Code::corrupt, "the vocabulary has %zu tokens; 1 to %" PRIu32 " are possible", tokens.size(), kMostTokens);
  }
  hyper.vocabulary_size = static_cast<uint32_t>(tokens.size());
  return {};
}

}  // namespace

Result<Hyperparameters> read_hyperparameters(const GgufFile& file) {
  QUIRE_ASSIGN(const std::string_view architecture, file.get_string("general.architecture"));
  const Family* family = find_family(architecture);
  if (family == nullptr) {
    return make_error(Code::unsupported, "the model architecture '%s' is not supported; supported: %s", std::string(architecture.substr(0, 80)).c_str(),
                      family_names().c_str());
  }
  QUIRE_ASSIGN(const uint32_t parts, file.get_u32_or("split.count", 1));
  if (parts > 1) return make_error(Code::unsupported, "the file is one of %" PRIu32 " parts of a split model; join them first", parts);

  const HyperReader reader(file, architecture);
  QUIRE_TRY(refuse_unknown_maths(file, reader));
  Hyperparameters hyper;
  hyper.architecture = architecture;
  hyper.gate_function = family->gate_function;
  QUIRE_ASSIGN(hyper.block_count, reader.number("block_count", 1, 4096));
  QUIRE_ASSIGN(hyper.context_length, reader.number("context_length", 1, uint32_t{1} << 30));
  QUIRE_ASSIGN(hyper.embedding_length, reader.number("embedding_length", 1, uint32_t{1} << 20));
  QUIRE_ASSIGN(hyper.feed_forward_length, reader.per_layer("feed_forward_length", hyper.block_count, 1, uint32_t{1} << 22));
  QUIRE_TRY(read_heads(reader, hyper));
  QUIRE_TRY(read_windows(reader, *family, hyper));
  QUIRE_TRY(read_rope(file, reader, *family, hyper));
  if (family->embedding_scale == EmbeddingScale::root_of_width) hyper.embedding_scale = std::sqrt(static_cast<float>(hyper.embedding_length));
  const bool by_width = family->width_scaled_layers != 0 && hyper.block_count == family->width_scaled_layers;
  hyper.attention_scale = 1.0f / std::sqrt(static_cast<float>(by_width ? hyper.embedding_length / hyper.head_count : hyper.key_length));
  const std::string epsilon_key = reader.key("attention.layer_norm_rms_epsilon");
  QUIRE_ASSIGN(hyper.rms_epsilon, file.get_f32(epsilon_key));
  if (!(hyper.rms_epsilon > 0.0f && hyper.rms_epsilon < 1.0f)) {
    return make_error(Code::corrupt, "%s is %g; it must be above 0 and below 1", epsilon_key.c_str(), static_cast<double>(hyper.rms_epsilon));
  }
  QUIRE_TRY(read_vocabulary_size(file, reader, hyper));
  hyper.tied_embeddings = file.find_tensor("output.weight") == nullptr;
  return hyper;
}

}  // namespace quire
