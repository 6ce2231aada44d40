// GgufFile::read: the header of a GGUF file, checked value by value. Sizes from the file go through engine/base/checked.hpp only.
#include <algorithm>
#include <bit>
#include <cinttypes>
#include <new>
#include <numeric>

#include "engine/base/checked.hpp"
#include "engine/model/bounded_reader.hpp"
#include "engine/model/gguf_reader.hpp"

static_assert(std::endian::native == std::endian::little, "values are read as they lie in the file");

namespace quire {
namespace {

constexpr uint64_t kLargestString = uint64_t{1} << 30;
constexpr uint64_t kLargestKey = 65535;
constexpr uint64_t kLargestTensorName = 64;
constexpr uint32_t kLargestAlignment = uint32_t{1} << 20;
constexpr uint64_t kSmallestEntry = 8 + 1 + 4 + 1;           // key, type, value
constexpr uint64_t kSmallestTensor = 8 + 1 + 4 + 8 + 4 + 8;  // name, dimension count, one dimension, type, offset

/// Bytes of an element in the file; of strings and arrays the fewest.
uint64_t encoded_bytes(MetadataType type) {
  switch (type) {
    case MetadataType::u8: case MetadataType::i8: case MetadataType::boolean: return 1;
    case MetadataType::u16: case MetadataType::i16: return 2;
    case MetadataType::u32: case MetadataType::i32: case MetadataType::f32: return 4;
    case MetadataType::u64: case MetadataType::i64: case MetadataType::f64: case MetadataType::string: return 8;
    case MetadataType::array: return 12;
  }
  return 1;
}

/// A name as it may be printed: what is no visible ASCII character becomes '?', long ones are cut.
std::string printable(std::string_view name) {
  std::string text(name.substr(0, 80));
  for (char& c : text) {
    if (c < 0x21 || c > 0x7e) c = '?';
  }
  return text;
}

bool is_visible_ascii(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x21 && c <= 0x7e; });
}

Status check_key(std::string_view key) {
  if (!is_visible_ascii(key)) return make_error(Code::corrupt, "the metadata key '%s' has bytes outside visible ASCII", printable(key).c_str());
  if (key.front() == '.' || key.back() == '.' || key.find("..") != std::string_view::npos) {
    return make_error(Code::corrupt, "the metadata key '%s' has an empty segment", printable(key).c_str());
  }
  return {};
}

}  // namespace

class GgufParser {
 public:
  GgufParser(const ByteSource& source, const GgufLimits& limits) : reader_(source), limits_(limits) { file_.size_bytes_ = source.size_bytes(); }

  Result<GgufFile> parse() {
    QUIRE_TRY(read_preamble());
    for (uint64_t i = 0; i < entry_count_; ++i) QUIRE_TRY(read_entry());
    QUIRE_TRY(order_entries());
    QUIRE_TRY(read_alignment());
    for (uint64_t i = 0; i < tensor_count_; ++i) QUIRE_TRY(read_tensor());
    QUIRE_TRY(order_tensors());
    QUIRE_TRY(place_tensors());
    return std::move(file_);
  }

 private:
  using Value = GgufFile::Value;

  /// Accounts for memory before it is taken.
  Status claim(uint64_t count, uint64_t element_bytes) {
    const auto bytes = checked_mul(count, element_bytes);
    const auto sum = bytes ? checked_add(*bytes, claimed_bytes_) : std::nullopt;
    if (!sum || *sum > limits_.memory_bytes) {
      return make_error(Code::corrupt, "metadata of more than %" PRIu64 " bytes in memory", limits_.memory_bytes);
    }
    claimed_bytes_ = *sum;
    return {};
  }

  /// `count` things of at least `smallest_bytes` each must fit in what is left of the file.
  Status check_count(const char* what, uint64_t count, uint64_t smallest_bytes) const {
    if (count <= reader_.remaining() / smallest_bytes) return {};
    return make_error(Code::corrupt, "%" PRIu64 " %s cannot fit in the %" PRIu64 " bytes that are left of the file", count, what, reader_.remaining());
  }

  Status read_preamble() {
    uint32_t magic = 0;
    QUIRE_TRY(reader_.read_value(magic));
    if (magic != 0x46554747u) return make_error(Code::corrupt, "not a GGUF file: it begins with %08" PRIx32 " and not with 'GGUF'", magic);
    QUIRE_TRY(reader_.read_value(file_.version_));
    const uint32_t version = file_.version_;
    if (version != 0 && (version & 0xffffu) == 0) {
      return make_error(Code::unsupported, "the file is big-endian (version bytes %08" PRIx32 "); only little-endian files are read", version);
    }
    if (version != 2 && version != 3) return make_error(Code::unsupported, "GGUF version %" PRIu32 "; versions 2 and 3 are read", version);
    QUIRE_TRY(reader_.read_value(tensor_count_));
    QUIRE_TRY(reader_.read_value(entry_count_));
    QUIRE_TRY(check_count("metadata keys", entry_count_, kSmallestEntry));
    QUIRE_TRY(check_count("tensors", tensor_count_, kSmallestTensor));
    QUIRE_TRY(claim(entry_count_, sizeof(Value) + sizeof(uint32_t)));
    QUIRE_TRY(claim(tensor_count_, sizeof(TensorInfo) + 2 * sizeof(uint32_t)));
    file_.entries_.reserve(static_cast<size_t>(entry_count_));
    file_.tensors_.reserve(static_cast<size_t>(tensor_count_));
    return {};
  }

  /// Appends a string to the text and returns its bytes.
  Result<uint64_t> read_string(const char* what, uint64_t largest) {
    uint64_t size = 0;
    QUIRE_TRY(reader_.read_value(size));
    if (size > largest || size > reader_.remaining()) {
      return make_error(Code::corrupt, "%s of %" PRIu64 " bytes; at most %" PRIu64 " are possible", what, size, std::min(largest, reader_.remaining()));
    }
    QUIRE_TRY(claim(size, 1));
    const size_t begin = file_.text_.size();
    file_.text_.resize(begin + static_cast<size_t>(size));
    QUIRE_TRY(reader_.read(std::as_writable_bytes(std::span(file_.text_).subspan(begin))));
    return size;
  }

  Status read_type(std::string_view key, MetadataType& type) {
    uint32_t number = 0;
    QUIRE_TRY(reader_.read_value(number));
    if (number > static_cast<uint32_t>(MetadataType::f64)) {
      return make_error(Code::corrupt, "%s has the unknown metadata type %" PRIu32, printable(key).c_str(), number);
    }
    type = static_cast<MetadataType>(number);
    return {};
  }

  Status read_entry() {
    Value value;
    value.key_begin = file_.text_.size();
    QUIRE_ASSIGN(const uint64_t key_size, read_string("a metadata key", kLargestKey));
    if (key_size == 0) return make_error(Code::corrupt, "a metadata key is empty");
    value.key_size = static_cast<uint32_t>(key_size);
    QUIRE_TRY(check_key(file_.key_of(value)));
    // The text grows while the value is read: the key for messages is a copy.
    const std::string key = printable(file_.key_of(value));
    QUIRE_TRY(read_type(key, value.type));
    value.element_type = value.type;
    if (value.type == MetadataType::array) {
      QUIRE_TRY(read_array(key, value));
    } else if (value.type == MetadataType::string) {
      value.bits = file_.text_.size();
      QUIRE_ASSIGN(value.count, read_string("a metadata string", kLargestString));
    } else {
      value.count = 1;
      std::byte bytes[8]{};
      const auto element = std::span(bytes).first(static_cast<size_t>(encoded_bytes(value.type)));
      QUIRE_TRY(reader_.read(element));
      QUIRE_TRY(check_booleans(key, value.type, element));
      std::memcpy(&value.bits, bytes, sizeof value.bits);
    }
    file_.entries_.push_back(value);
    return {};
  }

  static Status check_booleans(const std::string& key, MetadataType type, std::span<const std::byte> elements) {
    if (type != MetadataType::boolean) return {};
    for (const std::byte b : elements) {
      if (b > std::byte{1}) return make_error(Code::corrupt, "%s has the boolean %u; 0 and 1 are possible", key.c_str(), std::to_integer<unsigned>(b));
    }
    return {};
  }

  Status read_array_header(const std::string& key, MetadataType& type, uint64_t& count) {
    QUIRE_TRY(read_type(key, type));
    QUIRE_TRY(reader_.read_value(count));
    return check_count("array elements", count, encoded_bytes(type));
  }

  Status read_array(const std::string& key, Value& value) {
    QUIRE_TRY(read_array_header(key, value.element_type, value.count));
    if (value.element_type == MetadataType::array) return skip_arrays(key, value.count, 2);
    if (value.element_type == MetadataType::string) return read_string_array(value);
    value.begin = file_.numbers_.size();
    return append_numbers(key, value.element_type, value.count, file_.numbers_);
  }

  Status append_numbers(const std::string& key, MetadataType type, uint64_t count, std::vector<std::byte>& numbers) {
    const auto bytes = checked_mul(count, encoded_bytes(type));
    if (!bytes) return make_error(Code::corrupt, "%s has %" PRIu64 " elements", key.c_str(), count);
    QUIRE_TRY(claim(*bytes, 1));
    const size_t begin = numbers.size();
    numbers.resize(begin + static_cast<size_t>(*bytes));
    QUIRE_TRY(reader_.read(std::span(numbers).subspan(begin)));
    return check_booleans(key, type, std::span(numbers).subspan(begin));
  }

  Status read_string_array(Value& value) {
    QUIRE_TRY(claim(value.count, sizeof(uint64_t)));
    value.begin = file_.ends_.size();
    value.text_begin = file_.text_.size();
    for (uint64_t i = 0; i < value.count; ++i) {
      QUIRE_TRY(read_string("a string in an array", kLargestString));
      file_.ends_.push_back(file_.text_.size());
    }
    return {};
  }

  /// Checks arrays inside an array; their elements are not kept, because no key with a meaning here has any.
  Status skip_arrays(const std::string& key, uint64_t count, uint32_t depth) {
    if (depth > limits_.array_depth) {
      return make_error(Code::corrupt, "%s nests arrays more than %" PRIu32 " deep", key.c_str(), limits_.array_depth);
    }
    for (uint64_t i = 0; i < count; ++i) {
      MetadataType type{};
      uint64_t inner_count = 0;
      QUIRE_TRY(read_array_header(key, type, inner_count));
      if (type == MetadataType::array) {
        QUIRE_TRY(skip_arrays(key, inner_count, depth + 1));
        continue;
      }
      const uint64_t claimed_before = claimed_bytes_;
      const size_t text_before = file_.text_.size();
      if (type == MetadataType::string) {
        for (uint64_t j = 0; j < inner_count; ++j) {
          QUIRE_TRY(read_string("a string in an array", kLargestString));
          file_.text_.resize(text_before);
        }
      } else {
        skipped_.clear();
        QUIRE_TRY(append_numbers(key, type, inner_count, skipped_));
      }
      claimed_bytes_ = claimed_before;
    }
    return {};
  }

  Status order_entries() {
    auto& order = file_.entry_order_;
    order.resize(file_.entries_.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto key = [this](uint32_t i) { return file_.key_of(file_.entries_[i]); };
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return key(a) < key(b); });
    const auto twice = std::adjacent_find(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return key(a) == key(b); });
    if (twice != order.end()) return make_error(Code::corrupt, "the metadata key '%s' is there twice", printable(key(*twice)).c_str());
    return {};
  }

  Status read_alignment() {
    constexpr std::string_view kKey = "general.alignment";
    const Value* value = file_.find(kKey);
    if (value == nullptr) return {};
    if (value->type != MetadataType::u32) return make_error(Code::corrupt, "general.alignment has the type %s; it must be u32", metadata_type_name(value->type).data());
    const auto alignment = static_cast<uint32_t>(value->bits);
    if (!std::has_single_bit(alignment) || alignment < 8 || alignment > kLargestAlignment) {
      return make_error(Code::corrupt, "general.alignment is %" PRIu32 "; powers of two from 8 to %" PRIu32 " are possible", alignment, kLargestAlignment);
    }
    file_.alignment_bytes_ = alignment;
    return {};
  }

  Status read_tensor() {
    TensorInfo tensor;
    const size_t begin = file_.text_.size();
    QUIRE_ASSIGN(const uint64_t name_size, read_string("a tensor name", kLargestTensorName));
    tensor.name.assign(file_.text_.data() + begin, static_cast<size_t>(name_size));
    file_.text_.resize(begin);
    if (tensor.name.empty() || !is_visible_ascii(tensor.name)) {
      return make_error(Code::corrupt, "the tensor name '%s' is empty or has bytes outside visible ASCII", printable(tensor.name).c_str());
    }
    const char* name = tensor.name.c_str();
    QUIRE_TRY(reader_.read_value(tensor.dimension_count));
    if (tensor.dimension_count < 1 || tensor.dimension_count > tensor.dims.size()) {
      return make_error(Code::corrupt, "tensor %s has %" PRIu32 " dimensions; 1 to 4 are possible", name, tensor.dimension_count);
    }
    for (uint32_t i = 0; i < tensor.dimension_count; ++i) QUIRE_TRY(reader_.read_value(tensor.dims[i]));
    uint32_t type = 0;
    QUIRE_TRY(reader_.read_value(type));
    const GgmlTypeInfo* info = find_ggml_type(type);
    if (info == nullptr) return make_error(Code::unsupported, "tensor %s has the unknown or removed type %" PRIu32, name, type);
    tensor.type = info->type;
    QUIRE_TRY(measure(tensor, *info));
    QUIRE_TRY(reader_.read_value(tensor.offset_bytes));
    if (tensor.offset_bytes % file_.alignment_bytes_ != 0) {
      return make_error(Code::corrupt, "tensor %s begins at %" PRIu64 ", which is no multiple of the alignment %" PRIu32, name, tensor.offset_bytes,
                        file_.alignment_bytes_);
    }
    file_.tensors_.push_back(std::move(tensor));
    return {};
  }

  static Status measure(TensorInfo& tensor, const GgmlTypeInfo& info) {
    uint64_t elements = 1;
    for (uint32_t i = 0; i < tensor.dimension_count; ++i) {
      const auto product = checked_mul(elements, tensor.dims[i]);
      if (tensor.dims[i] == 0 || !product || *product > uint64_t{1} << 62) {
        return make_error(Code::corrupt, "tensor %s has a dimension of %" PRIu64 ": its elements must be 1 to 2^62", tensor.name.c_str(), tensor.dims[i]);
      }
      elements = *product;
    }
    if (tensor.dims[0] % info.block_elements != 0) {
      return make_error(Code::corrupt, "tensor %s has rows of %" PRIu64 " elements, no multiple of the %" PRIu32 " in a block of %s",
                        tensor.name.c_str(), tensor.dims[0], info.block_elements, info.name.data());
    }
    const auto size = checked_mul(elements / info.block_elements, uint64_t{info.block_bytes});
    if (!size) return make_error(Code::corrupt, "tensor %s has more than 2^64 bytes", tensor.name.c_str());
    tensor.size_bytes = *size;
    return {};
  }

  Status order_tensors() {
    auto& order = file_.tensor_order_;
    const auto& tensors = file_.tensors_;
    order.resize(tensors.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return tensors[a].name < tensors[b].name; });
    const auto twice = std::adjacent_find(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return tensors[a].name == tensors[b].name; });
    if (twice != order.end()) return make_error(Code::corrupt, "tensor %s is there twice", tensors[*twice].name.c_str());
    return {};
  }

  /// Offsets become offsets in the file; every tensor must be inside it and none may overlap another.
  Status place_tensors() {
    const auto data_begin = checked_align_up(reader_.position(), uint64_t{file_.alignment_bytes_});
    std::vector<uint32_t> by_offset(file_.tensors_.size());
    std::iota(by_offset.begin(), by_offset.end(), 0u);
    for (TensorInfo& tensor : file_.tensors_) {
      const auto begin = data_begin ? checked_add(*data_begin, tensor.offset_bytes) : std::nullopt;
      const auto end = begin ? checked_add(*begin, tensor.size_bytes) : std::nullopt;
      if (!end || *end > file_.size_bytes_) {
        return make_error(Code::corrupt, "tensor %s (offset %" PRIu64 ", %" PRIu64 " bytes) ends after the file's %" PRIu64 " bytes",
                          tensor.name.c_str(), tensor.offset_bytes, tensor.size_bytes, file_.size_bytes_);
      }
      tensor.offset_bytes = *begin;
    }
    const auto& tensors = file_.tensors_;
    std::sort(by_offset.begin(), by_offset.end(), [&](uint32_t a, uint32_t b) { return tensors[a].offset_bytes < tensors[b].offset_bytes; });
    for (size_t i = 1; i < by_offset.size(); ++i) {
      const TensorInfo& before = tensors[by_offset[i - 1]];
      const TensorInfo& after = tensors[by_offset[i]];
      if (after.offset_bytes - before.offset_bytes < before.size_bytes) {
        return make_error(Code::corrupt, "tensors %s and %s overlap", before.name.c_str(), after.name.c_str());
      }
    }
    return {};
  }

  BoundedReader reader_;
  GgufLimits limits_;
  GgufFile file_;
  uint64_t tensor_count_ = 0;
  uint64_t entry_count_ = 0;
  uint64_t claimed_bytes_ = 0;
  std::vector<std::byte> skipped_;
};

Result<GgufFile> GgufFile::read(const ByteSource& source, const GgufLimits& limits) {
  try {
    return GgufParser(source, limits).parse();
  } catch (const std::bad_alloc&) {
    return make_error(Code::out_of_host_memory, "no memory for the metadata of the file");
  }
}

}  // namespace quire
