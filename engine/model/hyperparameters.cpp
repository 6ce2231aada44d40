#include "engine/model/hyperparameters.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cinttypes>
#include <cmath>
#include <optional>
#include <span>

namespace quire {
namespace {

/// Sides of a tensor, as multiples of the hyperparameters.
enum class Extent : uint8_t { one, embedding, vocabulary, feed_forward, query, key, value, attended };

/// A tensor of a family: "blk.N." stands before the names of layer tensors. rows == one: a vector, which must be F32.
struct TensorRule {
  std::string_view name;
  Extent width;
  Extent rows = Extent::one;
  bool required = true;
};

/// What sets one architecture apart. A family is a row of this table and, where the maths differ, fields of Hyperparameters.
struct Family {
  std::string_view architecture;
  RopeOrder rope_order;
  std::span<const TensorRule> model_tensors;
  std::span<const TensorRule> layer_tensors;
};

constexpr std::array kModelTensors = std::to_array<TensorRule>({
    {"token_embd.weight", Extent::embedding, Extent::vocabulary},
    {"output_norm.weight", Extent::embedding},
    {"output.weight", Extent::embedding, Extent::vocabulary, false},
});

constexpr std::array kLlamaLayer = std::to_array<TensorRule>({
    {"attn_norm.weight", Extent::embedding},
    {"attn_q.weight", Extent::embedding, Extent::query},
    {"attn_k.weight", Extent::embedding, Extent::key},
    {"attn_v.weight", Extent::embedding, Extent::value},
    {"attn_output.weight", Extent::attended, Extent::embedding},
    {"ffn_norm.weight", Extent::embedding},
    {"ffn_gate.weight", Extent::embedding, Extent::feed_forward},
    {"ffn_up.weight", Extent::embedding, Extent::feed_forward},
    {"ffn_down.weight", Extent::feed_forward, Extent::embedding},
});

constexpr std::array kFamilies = std::to_array<Family>({
    {"llama", RopeOrder::normal, kModelTensors, kLlamaLayer},
});

const Family* find_family(std::string_view architecture) {
  const auto found = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& f) { return f.architecture == architecture; });
  return found != kFamilies.end() ? &*found : nullptr;
}

std::string family_names() {
  std::string names;
  for (const Family& family : kFamilies) names += (names.empty() ? "" : ", ") + std::string(family.architecture);
  return names;
}

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
      {"expert_count", 0},          {"attention.clamp_kqv", 0},     {"attention.max_alibi_bias", 0},
      {"logit_scale", 1},           {"embedding_scale", 1},            {"residual_scale", 1},          {"attention.scale", 0},
      {"rope.scale_linear", 1},     {"attn_logit_softcapping", 0},     {"final_logit_softcapping", 0}, {"rope.freq_base_swa", 0},
      {"attention.temperature_scale", 0},
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
  return {};
}

Status refuse_rope_scaling(const GgufFile& file, const HyperReader& reader) {
  const std::string type_key = reader.key("rope.scaling.type");
  if (file.has(type_key)) {
    QUIRE_ASSIGN(const std::string_view type, file.get_string(type_key));
    if (type == "none") return {};
    return make_error(Code::unsupported, "%s is '%s'; only 'none' is supported", type_key.c_str(), std::string(type.substr(0, 40)).c_str());
  }
  // A factor without a type means linear scaling.
  const std::string factor_key = reader.key("rope.scaling.factor");
  QUIRE_ASSIGN(const float factor, file.get_f32_or(factor_key, 1.0f));
  if (factor != 1.0f) return make_error(Code::unsupported, "%s is %g; only 1 is supported", factor_key.c_str(), static_cast<double>(factor));
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

Status read_rope(const GgufFile& file, const HyperReader& reader, Hyperparameters& hyper) {
  QUIRE_TRY(refuse_rope_scaling(file, reader));
  QUIRE_ASSIGN(hyper.rope_dimension_count, reader.number_or("rope.dimension_count", hyper.key_length, 2, hyper.key_length));
  if (hyper.rope_dimension_count % 2 != 0) {
    return make_error(Code::corrupt, "%s is %" PRIu32 "; it must be even", reader.key("rope.dimension_count").c_str(), hyper.rope_dimension_count);
  }
  QUIRE_ASSIGN(hyper.rope_freq_base, file.get_f32_or(reader.key("rope.freq_base"), 10000.0f));
  if (!std::isfinite(hyper.rope_freq_base) || hyper.rope_freq_base < 1.0f) {
    return make_error(Code::corrupt, "%s is %g; it must be finite and at least 1", reader.key("rope.freq_base").c_str(),
                      static_cast<double>(hyper.rope_freq_base));
  }
  return {};
}

/// A window on every layer, or on all but every n-th one (an integer pattern, as Gemma 3 counts it).
Status read_windows(const HyperReader& reader, Hyperparameters& hyper) {
  QUIRE_ASSIGN(hyper.sliding_window, reader.number_or("attention.sliding_window", 0, 0, uint32_t{1} << 30));
  QUIRE_ASSIGN(hyper.sliding_window_pattern, reader.number_or("attention.sliding_window_pattern", 0, 0, hyper.block_count));
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
  }
  return 0;
}

Status check_tensor(const GgufFile& file, const Hyperparameters& hyper, const TensorRule& rule, const std::string& name) {
  const TensorInfo* tensor = file.find_tensor(name);
  if (tensor == nullptr) {
    if (!rule.required) return {};
    return make_error(Code::corrupt, "the file has no tensor %s", name.c_str());
  }
  const uint64_t width = extent_of(hyper, rule.width);
  const uint64_t rows = extent_of(hyper, rule.rows);
  if (tensor->dims != std::array<uint64_t, 4>{width, rows, 1, 1}) {
    return make_error(Code::corrupt, "tensor %s has the shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "]; it must be [%" PRIu64 ", %" PRIu64 "]",
                      name.c_str(), tensor->dims[0], tensor->dims[1], tensor->dims[2], tensor->dims[3], width, rows);
  }
  if (rule.rows == Extent::one && tensor->type != GgmlType::f32) {
    return make_error(Code::unsupported, "tensor %s has the type %s; a vector must be F32", name.c_str(), ggml_type_name(tensor->type).data());
  }
  return {};
}

/// The rules' name of a layer tensor "blk.N.name" with N < layers, written without leading zeros.
std::optional<std::string_view> layer_tensor_name(std::string_view name, uint32_t layers) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  uint32_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const auto digits = static_cast<size_t>(end - name.data());
  if (error != std::errc() || layer >= layers || (digits > 1 && name[0] == '0')) return std::nullopt;
  name.remove_prefix(digits);
  if (!name.starts_with('.')) return std::nullopt;
  return name.substr(1);
}

bool has_rule(std::span<const TensorRule> rules, std::string_view name) {
  return std::any_of(rules.begin(), rules.end(), [&](const TensorRule& rule) { return rule.name == name; });
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
  hyper.rope_order = family->rope_order;
  QUIRE_ASSIGN(hyper.block_count, reader.number("block_count", 1, 4096));
  QUIRE_ASSIGN(hyper.context_length, reader.number("context_length", 1, uint32_t{1} << 30));
  QUIRE_ASSIGN(hyper.embedding_length, reader.number("embedding_length", 1, uint32_t{1} << 20));
  QUIRE_ASSIGN(hyper.feed_forward_length, reader.per_layer("feed_forward_length", hyper.block_count, 1, uint32_t{1} << 22));
  QUIRE_TRY(read_heads(reader, hyper));
  QUIRE_TRY(read_rope(file, reader, hyper));
  QUIRE_TRY(read_windows(reader, hyper));
  const std::string epsilon_key = reader.key("attention.layer_norm_rms_epsilon");
  QUIRE_ASSIGN(hyper.rms_epsilon, file.get_f32(epsilon_key));
  if (!(hyper.rms_epsilon > 0.0f && hyper.rms_epsilon < 1.0f)) {
    return make_error(Code::corrupt, "%s is %g; it must be above 0 and below 1", epsilon_key.c_str(), static_cast<double>(hyper.rms_epsilon));
  }
  QUIRE_TRY(read_vocabulary_size(file, reader, hyper));
  hyper.tied_embeddings = file.find_tensor("output.weight") == nullptr;
  return hyper;
}

Status check_tensors(const GgufFile& file, const Hyperparameters& hyper) {
  const Family* family = find_family(hyper.architecture);
  if (family == nullptr) return make_error(Code::unsupported, "the model architecture '%s' is not supported", hyper.architecture.c_str());
  for (const TensorRule& rule : family->model_tensors) QUIRE_TRY(check_tensor(file, hyper, rule, std::string(rule.name)));
  for (uint32_t layer = 0; layer < hyper.block_count; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    for (const TensorRule& rule : family->layer_tensors) QUIRE_TRY(check_tensor(file, hyper, rule, prefix + std::string(rule.name)));
  }
  for (const TensorInfo& tensor : file.tensors()) {
    const auto layer_name = layer_tensor_name(tensor.name, hyper.block_count);
    const bool known = layer_name ? has_rule(family->layer_tensors, *layer_name) : has_rule(family->model_tensors, tensor.name);
    if (!known) return make_error(Code::unsupported, "tensor %s has no meaning in the supported part of family %s", tensor.name.c_str(), hyper.architecture.c_str());
  }
  return {};
}

}  // namespace quire
