// Which tensors a file must have, and the small ones as floats.
#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cinttypes>
#include <cstring>
#include <optional>

#include "engine/base/half.hpp"
#include "engine/model/family.hpp"
#include "engine/model/hyperparameters.hpp"

namespace quire {
namespace {

Status check_tensor(const GgufFile& file, const Hyperparameters& hyper, const TensorRule& rule, const std::string& name) {
  const TensorInfo* tensor = file.find_tensor(name);
  if (tensor == nullptr) {
    if (rule.presence == Presence::optional) return {};
    return make_error(Code::corrupt, "the file has no tensor %s", name.c_str());
  }
  const uint64_t width = extent_of(hyper, rule.width);
  const uint64_t rows = extent_of(hyper, rule.rows);
  if (tensor->dims != std::array<uint64_t, 4>{width, rows, 1, 1}) {
    return make_error(Code::corrupt, "tensor %s has the shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "]; it must be [%" PRIu64 ", %" PRIu64 "]",
                      name.c_str(), tensor->dims[0], tensor->dims[1], tensor->dims[2], tensor->dims[3], width, rows);
  }
  if (rule.rows == Extent::one && !is_float_tensor(tensor->type)) {
    return make_error(Code::unsupported, "tensor %s has the type %s; a vector must be F32, F16 or BF16", name.c_str(), ggml_type_name(tensor->type).data());
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

bool is_float_tensor(GgmlType type) { return type == GgmlType::f32 || type == GgmlType::f16 || type == GgmlType::bf16; }

Result<std::vector<float>> read_float_tensor(const ByteSource& source, const TensorInfo& tensor) {
  if (!is_float_tensor(tensor.type)) {
    return make_error(Code::unsupported, "tensor %s has the type %s; F32, F16 or BF16 is needed", tensor.name.c_str(), ggml_type_name(tensor.type).data());
  }
  std::vector<std::byte> bytes(tensor.size_bytes);
  QUIRE_TRY(source.read_at(tensor.offset_bytes, bytes));
  std::vector<float> values(bytes.size() / (tensor.type == GgmlType::f32 ? sizeof(float) : sizeof(uint16_t)));
  if (tensor.type == GgmlType::f32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, bytes.data() + 2 * i, sizeof half);
    values[i] = tensor.type == GgmlType::f16 ? half_to_float(half) : std::bit_cast<float>(uint32_t{half} << 16);
  }
  return values;
}

}  // namespace quire
