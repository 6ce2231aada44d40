// GgufWriter: GGUF files in memory for tests: right ones, and with the raw calls any wrong one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/gguf_reader.hpp"

namespace quire::testing {

/// Bytes written one value after another.
class ByteWriter {
 public:
  template <class T>
  ByteWriter& value(T number) {
    const auto* begin = reinterpret_cast<const std::byte*>(&number);
    bytes_.insert(bytes_.end(), begin, begin + sizeof(T));
    return *this;
  }
  ByteWriter& type(MetadataType type) { return value(static_cast<uint32_t>(type)); }
  ByteWriter& raw(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  /// A length and the characters.
  ByteWriter& string(std::string_view text) { return value(uint64_t{text.size()}).raw(std::as_bytes(std::span(text))); }
  void pad_to(size_t alignment) { bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment); }
  size_t size() const { return bytes_.size(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class GgufWriter {
 public:
  uint32_t version = 3;
  uint32_t alignment = 32;  ///< of tensor data; written as a key when it is not 32

  void add_u32(std::string_view key, uint32_t number) { add_scalar(key, MetadataType::u32, number); }
  void add_i32(std::string_view key, int32_t number) { add_scalar(key, MetadataType::i32, number); }
  void add_u64(std::string_view key, uint64_t number) { add_scalar(key, MetadataType::u64, number); }
  void add_f32(std::string_view key, float number) { add_scalar(key, MetadataType::f32, number); }
  void add_bool(std::string_view key, bool set) { add_scalar(key, MetadataType::boolean, static_cast<uint8_t>(set ? 1 : 0)); }
  void add_string(std::string_view key, std::string_view text) { add_raw(key, MetadataType::string, ByteWriter().string(text).bytes()); }

  void add_strings(std::string_view key, std::span<const std::string> texts) {
    ByteWriter value;
    value.type(MetadataType::string).value(uint64_t{texts.size()});
    for (const std::string& text : texts) value.string(text);
    add_raw(key, MetadataType::array, value.bytes());
  }
  void add_i32s(std::string_view key, std::span<const int32_t> numbers) { add_numbers(key, MetadataType::i32, std::as_bytes(numbers), numbers.size()); }
  void add_f32s(std::string_view key, std::span<const float> numbers) { add_numbers(key, MetadataType::f32, std::as_bytes(numbers), numbers.size()); }
  void add_numbers(std::string_view key, MetadataType type, std::span<const std::byte> bytes, uint64_t count) {
    add_raw(key, MetadataType::array, ByteWriter().type(type).value(count).raw(bytes).bytes());
  }
  /// A key with any type and any bytes for its value.
  void add_raw(std::string_view key, MetadataType type, std::span<const std::byte> value) {
    entries_.emplace_back(std::string(key), ByteWriter().string(key).type(type).raw(value).bytes());
  }
  /// Removes a key, so that it can be added with another value.
  void remove(std::string_view key) {
    std::erase_if(entries_, [&](const auto& entry) { return entry.first == key; });
  }

  struct Tensor {
    std::string name;
    uint32_t type = 0;
    std::vector<uint64_t> dims;  ///< dims[0] is the width of a row
    std::vector<std::byte> data;
    uint64_t offset_bytes = 0;   ///< in the data; set by add_tensor
  };
  /// Places the data after that of the tensors before it.
  void add_tensor(std::string_view name, GgmlType type, std::vector<uint64_t> dims, std::vector<std::byte> data) {
    const uint64_t offset = data_bytes_;
    data_bytes_ = (data_bytes_ + data.size() + alignment - 1) / alignment * alignment;
    tensors.push_back({std::string(name), static_cast<uint32_t>(type), std::move(dims), std::move(data), offset});
  }
  /// To be changed by tests that want a wrong directory.
  std::vector<Tensor> tensors;
  Tensor* find_tensor(std::string_view name) {
    for (Tensor& tensor : tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }

  std::vector<std::byte> finish() const {
    ByteWriter file = header();
    file.pad_to(alignment);
    for (const Tensor& tensor : tensors) {
      file.raw(tensor.data);
      file.pad_to(alignment);
    }
    return file.bytes();
  }
  /// Everything before the tensor data, without padding.
  ByteWriter header() const {
    ByteWriter file;
    file.raw(std::as_bytes(std::span("GGUF", 4))).value(version).value(uint64_t{tensors.size()});
    file.value(uint64_t{entries_.size() + (alignment != 32 ? 1u : 0u)});
    if (alignment != 32) file.string("general.alignment").type(MetadataType::u32).value(alignment);
    for (const auto& [key, bytes] : entries_) file.raw(bytes);
    for (const Tensor& tensor : tensors) {
      file.string(tensor.name).value(static_cast<uint32_t>(tensor.dims.size()));
      for (const uint64_t dim : tensor.dims) file.value(dim);
      file.value(tensor.type).value(tensor.offset_bytes);
    }
    return file;
  }

 private:
  template <class T>
  void add_scalar(std::string_view key, MetadataType type, T number) {
    add_raw(key, type, ByteWriter().value(number).bytes());
  }

  std::vector<std::pair<std::string, std::vector<std::byte>>> entries_;
  uint64_t data_bytes_ = 0;
};

}  // namespace quire::testing
