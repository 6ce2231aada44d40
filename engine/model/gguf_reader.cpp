#include "engine/model/gguf_reader.hpp"

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>

namespace quire {
namespace {

bool is_integer(MetadataType type) {
  switch (type) {
    case MetadataType::u8: case MetadataType::i8: case MetadataType::u16: case MetadataType::i16: case MetadataType::u32: case MetadataType::i32:
    case MetadataType::u64: case MetadataType::i64: return true;
    default: return false;
  }
}

size_t number_bytes(MetadataType type) {
  switch (type) {
    case MetadataType::u16: case MetadataType::i16: return 2;
    case MetadataType::u32: case MetadataType::i32: case MetadataType::f32: return 4;
    case MetadataType::u64: case MetadataType::i64: case MetadataType::f64: return 8;
    default: return 1;
  }
}

/// An integer of any type as sign and 64 bits. `negative`: the value is the int64 of the same bits.
struct Integer {
  uint64_t bits;
  bool negative;
};

Integer to_integer(MetadataType type, uint64_t bits) {
  const auto from_signed = [](int64_t value) { return Integer{static_cast<uint64_t>(value), value < 0}; };
  switch (type) {
    case MetadataType::i8: return from_signed(static_cast<int8_t>(bits));
    case MetadataType::i16: return from_signed(static_cast<int16_t>(bits));
    case MetadataType::i32: return from_signed(static_cast<int32_t>(bits));
    case MetadataType::i64: return from_signed(static_cast<int64_t>(bits));
    default: return Integer{bits, false};
  }
}

double to_real(MetadataType type, uint64_t bits) {
  return type == MetadataType::f32 ? static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits))) : std::bit_cast<double>(bits);
}

std::string as_text(std::string_view key) { return std::string(key.substr(0, 120)); }

}  // namespace

std::string_view metadata_type_name(MetadataType type) {
  constexpr std::string_view kNames[] = {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
  const auto number = static_cast<size_t>(type);
  return number < std::size(kNames) ? kNames[number] : "unknown";
}

const GgufFile::Value* GgufFile::find(std::string_view key) const {
  const auto found = std::lower_bound(entry_order_.begin(), entry_order_.end(), key,
                                      [this](uint32_t i, std::string_view wanted) { return key_of(entries_[i]) < wanted; });
  if (found == entry_order_.end() || key_of(entries_[*found]) != key) return nullptr;
  return &entries_[*found];
}

const TensorInfo* GgufFile::find_tensor(std::string_view name) const {
  const auto found = std::lower_bound(tensor_order_.begin(), tensor_order_.end(), name,
                                      [this](uint32_t i, std::string_view wanted) { return tensors_[i].name < wanted; });
  if (found == tensor_order_.end() || tensors_[*found].name != name) return nullptr;
  return &tensors_[*found];
}

Result<const GgufFile::Value*> GgufFile::require_key(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return make_error(Code::corrupt, "the file has no metadata key %s", as_text(key).c_str());
  return value;
}

Error GgufFile::wrong_type(std::string_view key, const Value& value, const char* wanted) const {
  const bool array = value.type == MetadataType::array;
  return make_error(Code::corrupt, "%s is %s%s; it must be %s", as_text(key).c_str(), array ? "an array of " : "of type ",
                    metadata_type_name(value.element_type).data(), wanted);
}

Result<uint64_t> GgufFile::get_u64(std::string_view key) const {
  QUIRE_ASSIGN(const Value* value, require_key(key));
  if (!is_integer(value->type)) return wrong_type(key, *value, "an integer");
  const Integer integer = to_integer(value->type, value->bits);
  if (integer.negative) {
    return make_error(Code::corrupt, "%s is %" PRId64 "; it must not be negative", as_text(key).c_str(), static_cast<int64_t>(integer.bits));
  }
  return integer.bits;
}

Result<uint32_t> GgufFile::get_u32(std::string_view key) const {
  QUIRE_ASSIGN(const uint64_t value, get_u64(key));
  if (value > std::numeric_limits<uint32_t>::max()) {
    return make_error(Code::corrupt, "%s is %" PRIu64 "; it must be below 2^32", as_text(key).c_str(), value);
  }
  return static_cast<uint32_t>(value);
}

Result<float> GgufFile::get_f32(std::string_view key) const {
  QUIRE_ASSIGN(const Value* value, require_key(key));
  if (value->type != MetadataType::f32 && value->type != MetadataType::f64) return wrong_type(key, *value, "f32 or f64");
  const double real = to_real(value->type, value->bits);
  if (std::isfinite(real) && std::fabs(real) > static_cast<double>(std::numeric_limits<float>::max())) {
    return make_error(Code::corrupt, "%s is %g; it must be in the range of f32", as_text(key).c_str(), real);
  }
  return static_cast<float>(real);
}

Result<bool> GgufFile::get_bool(std::string_view key) const {
  QUIRE_ASSIGN(const Value* value, require_key(key));
  if (value->type != MetadataType::boolean) return wrong_type(key, *value, "a bool");
  return value->bits != 0;
}

Result<std::string_view> GgufFile::get_string(std::string_view key) const {
  QUIRE_ASSIGN(const Value* value, require_key(key));
  if (value->type != MetadataType::string) return wrong_type(key, *value, "a string");
  return std::string_view(text_.data() + value->bits, static_cast<size_t>(value->count));
}

StringArray GgufFile::strings_of(const Value& value) const {
  return StringArray(text_.data(), std::span(ends_).subspan(static_cast<size_t>(value.begin), static_cast<size_t>(value.count)), value.text_begin);
}

Result<StringArray> GgufFile::get_strings(std::string_view key) const {
  QUIRE_ASSIGN(const Value* value, require_key(key));
  if (value->type != MetadataType::array || value->element_type != MetadataType::string) return wrong_type(key, *value, "an array of strings");
  return strings_of(*value);
}

uint64_t GgufFile::number_at(const Value& array, uint64_t index) const {
  const size_t bytes = number_bytes(array.element_type);
  uint64_t bits = 0;
  std::memcpy(&bits, numbers_.data() + array.begin + index * bytes, bytes);
  return bits;
}

Result<std::vector<float>> GgufFile::get_f32_array(std::string_view key) const {
  QUIRE_ASSIGN(const Value* value, require_key(key));
  if (value->type != MetadataType::array || value->element_type != MetadataType::f32) return wrong_type(key, *value, "an array of f32");
  std::vector<float> numbers(static_cast<size_t>(value->count));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = std::bit_cast<float>(static_cast<uint32_t>(number_at(*value, i)));
  return numbers;
}

Result<std::vector<int32_t>> GgufFile::get_i32_array(std::string_view key) const {
  QUIRE_ASSIGN(const Value* value, require_key(key));
  if (value->type != MetadataType::array || !is_integer(value->element_type)) return wrong_type(key, *value, "an array of integers");
  std::vector<int32_t> numbers(static_cast<size_t>(value->count));
  for (size_t i = 0; i < numbers.size(); ++i) {
    const Integer integer = to_integer(value->element_type, number_at(*value, i));
    const auto number = static_cast<int64_t>(integer.bits);
    const bool fits = integer.negative ? number >= std::numeric_limits<int32_t>::min()
                                       : integer.bits <= static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
    if (!fits) return make_error(Code::corrupt, "element %zu of %s does not fit 32 bits", i, as_text(key).c_str());
    numbers[i] = static_cast<int32_t>(number);
  }
  return numbers;
}

Result<uint32_t> GgufFile::get_u32_or(std::string_view key, uint32_t fallback) const { return has(key) ? get_u32(key) : fallback; }
Result<float> GgufFile::get_f32_or(std::string_view key, float fallback) const { return has(key) ? get_f32(key) : fallback; }
Result<bool> GgufFile::get_bool_or(std::string_view key, bool fallback) const { return has(key) ? get_bool(key) : fallback; }

GgufFile::Entry GgufFile::metadata(size_t index) const {
  const Value& value = entries_[index];
  return Entry{key_of(value), value.type, value.element_type, value.type == MetadataType::array ? value.count : 1};
}

std::string GgufFile::number_text(MetadataType type, uint64_t bits) {
  char text[40];
  if (type == MetadataType::boolean) return bits != 0 ? "true" : "false";
  if (type == MetadataType::f32 || type == MetadataType::f64) {
    std::snprintf(text, sizeof text, "%.9g", to_real(type, bits));
    return text;
  }
  const Integer integer = to_integer(type, bits);
  return integer.negative ? std::to_string(static_cast<int64_t>(integer.bits)) : std::to_string(integer.bits);
}

std::string GgufFile::metadata_text(size_t index, size_t string_bytes, size_t elements) const {
  const auto cut = [string_bytes](std::string_view text) {
    return text.size() <= string_bytes ? std::string(text) : std::string(text.substr(0, string_bytes)) + "...";
  };
  const Value& value = entries_[index];
  if (value.type == MetadataType::string) return cut({text_.data() + value.bits, static_cast<size_t>(value.count)});
  if (value.type != MetadataType::array) return number_text(value.type, value.bits);
  std::string text = "[";
  const size_t shown = value.element_type == MetadataType::array ? 0 : static_cast<size_t>(std::min<uint64_t>(elements, value.count));
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) text += ", ";
    text += value.element_type == MetadataType::string ? cut(strings_of(value)[i]) : number_text(value.element_type, number_at(value, i));
  }
  if (shown < value.count) text += (shown > 0 ? ", ... " : "") + std::to_string(value.count) + " in all";
  return text + "]";
}

}  // namespace quire
