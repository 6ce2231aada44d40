// GGUF versions 2 and 3: metadata and tensor directory of a model file, read through one bounded reader (ggml, docs/gguf.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/model/ggml_type.hpp"
#include "engine/platform/byte_source.hpp"

namespace quire {

/// Numbers as in the file.
enum class MetadataType : uint32_t {
  u8 = 0, i8 = 1, u16 = 2, i16 = 3, u32 = 4, i32 = 5, f32 = 6, boolean = 7, string = 8, array = 9, u64 = 10, i64 = 11, f64 = 12,
};
std::string_view metadata_type_name(MetadataType type);

/// One tensor of the file. dims[0] is the width of a row; dims past dimension_count are 1.
struct TensorInfo {
  std::string name;
  GgmlType type = GgmlType::f32;
  uint32_t dimension_count = 0;
  std::array<uint64_t, 4> dims{1, 1, 1, 1};
  uint64_t offset_bytes = 0;  ///< from the beginning of the file
  uint64_t size_bytes = 0;    ///< inside the file: checked
};

/// Strings of one array, in the file's memory. Valid while its GgufFile lives.
class StringArray {
 public:
  StringArray() = default;
  StringArray(const char* text, std::span<const uint64_t> ends, uint64_t begin) : text_(text), ends_(ends), begin_(begin) {}
  size_t size() const { return ends_.size(); }
  /// Requires: index < size().
  std::string_view operator[](size_t index) const {
    const uint64_t begin = index == 0 ? begin_ : ends_[index - 1];
    return {text_ + begin, static_cast<size_t>(ends_[index] - begin)};
  }

 private:
  const char* text_ = nullptr;
  std::span<const uint64_t> ends_;
  uint64_t begin_ = 0;
};

/// Bounds on what a file may claim. The defaults hold every known model with room to spare.
struct GgufLimits {
  uint64_t memory_bytes = uint64_t{512} << 20;  ///< metadata and directory together, in memory
  uint32_t array_depth = 4;                     ///< arrays of arrays
};

/// What a file says about itself. Move-only; nothing of it is trusted but that it is inside the file and well-formed.
class GgufFile {
 public:
  /// Reads the header through `source` in chunks; tensor data is not read and nothing is mapped.
  /// On error: corrupt (names key or tensor, value and bound), unsupported (version, byte order, type), io, out_of_host_memory.
  static Result<GgufFile> read(const ByteSource& source, const GgufLimits& limits = {});

  GgufFile() = default;  ///< no metadata and no tensors
  GgufFile(GgufFile&&) noexcept = default;
  GgufFile& operator=(GgufFile&&) noexcept = default;

  uint32_t version() const { return version_; }
  uint32_t alignment_bytes() const { return alignment_bytes_; }
  uint64_t size_bytes() const { return size_bytes_; }

  bool has(std::string_view key) const { return find(key) != nullptr; }
  /// On error of every getter: corrupt (no such key, another type, or a value outside the range of the type asked for).
  Result<uint32_t> get_u32(std::string_view key) const;       ///< from any integer type
  Result<uint64_t> get_u64(std::string_view key) const;       ///< from any integer type
  Result<float> get_f32(std::string_view key) const;          ///< from f32 or f64
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<StringArray> get_strings(std::string_view key) const;
  Result<std::vector<float>> get_f32_array(std::string_view key) const;
  Result<std::vector<int32_t>> get_i32_array(std::string_view key) const;  ///< from an array of any integer type
  /// The getter's value, or `fallback` if the key is absent; a key of a wrong type is still an error.
  Result<uint32_t> get_u32_or(std::string_view key, uint32_t fallback) const;
  Result<float> get_f32_or(std::string_view key, float fallback) const;
  Result<bool> get_bool_or(std::string_view key, bool fallback) const;

  /// One key, for listings.
  struct Entry {
    std::string_view key;
    MetadataType type;
    MetadataType element_type;  ///< of an array; else equal to type
    uint64_t count;             ///< elements of an array; else 1
  };
  size_t metadata_count() const { return entries_.size(); }
  /// In the file's order. Requires: index < metadata_count().
  Entry metadata(size_t index) const;
  /// The value as text: strings cut after `string_bytes`, arrays after `elements` with their count. Requires: index < metadata_count().
  std::string metadata_text(size_t index, size_t string_bytes, size_t elements) const;

  /// In the file's order.
  std::span<const TensorInfo> tensors() const { return tensors_; }
  /// Null if the file has no tensor of that name. Valid while this object lives, moves included.
  const TensorInfo* find_tensor(std::string_view name) const;

 private:
  friend class GgufParser;
  struct Value {
    uint64_t key_begin = 0;      ///< in text_
    uint32_t key_size = 0;
    MetadataType type = MetadataType::u8;
    MetadataType element_type = MetadataType::u8;
    uint64_t bits = 0;           ///< a number: its bytes as in the file, zero-extended; a string: its begin in text_
    uint64_t count = 0;          ///< a string: its bytes; an array: its elements
    uint64_t begin = 0;          ///< an array: of strings, first of ends_; of numbers, first byte of numbers_; of arrays, nothing
    uint64_t text_begin = 0;     ///< an array of strings: begin of the first in text_
  };

  std::string_view key_of(const Value& value) const { return {text_.data() + value.key_begin, value.key_size}; }
  const Value* find(std::string_view key) const;
  Result<const Value*> require_key(std::string_view key) const;
  Error wrong_type(std::string_view key, const Value& value, const char* wanted) const;
  StringArray strings_of(const Value& value) const;
  static std::string number_text(MetadataType type, uint64_t bits);
  uint64_t number_at(const Value& array, uint64_t index) const;

  uint32_t version_ = 0;
  uint32_t alignment_bytes_ = 32;
  uint64_t size_bytes_ = 0;
  std::vector<char> text_;              ///< keys and strings, one after another
  std::vector<uint64_t> ends_;          ///< ends in text_ of the strings of arrays
  std::vector<std::byte> numbers_;      ///< elements of number arrays as in the file
  std::vector<Value> entries_;
  std::vector<uint32_t> entry_order_;   ///< entries_ by key
  std::vector<TensorInfo> tensors_;
  std::vector<uint32_t> tensor_order_;  ///< tensors_ by name
};

}  // namespace quire
