// Model files that lie: every one is rejected with a sentence, within the file's own bounds of memory and time.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "engine/model/gguf_reader.hpp"
#include "engine/model/hyperparameters.hpp"
#include "engine/text/chat_template.hpp"
#include "engine/text/tokenizer.hpp"
#include "tests/support/cpu_time.hpp"
#include "tests/support/tiny_llama.hpp"

using namespace quire;
using namespace quire::testing;

namespace {

constexpr TinyLlama kShape{.layers = 1, .embedding = 16, .feed_forward = 16, .heads = 2, .heads_kv = 1, .head_length = 8, .vocabulary = 264};

/// Everything that a load does with a header before a device is involved.
Status load(std::span<const std::byte> bytes) {
  const MemorySource source(bytes);
  QUIRE_ASSIGN(const GgufFile file, GgufFile::read(source));
  for (size_t i = 0; i < file.metadata_count(); ++i) (void)file.metadata_text(i, 64, 4);
  QUIRE_ASSIGN(const Hyperparameters hyper, read_hyperparameters(file));
  QUIRE_TRY(check_tensors(file, hyper));
  QUIRE_ASSIGN(const Tokenizer tokenizer, Tokenizer::create(file));
  QUIRE_TRY(tokenizer.encode("hello <|im_end|> \xFF 12", SpecialTokens::parse));
  (void)ChatTemplate::from_file(file, special_names(tokenizer)).ok();
  return {};
}

Status load(const GgufWriter& writer) { return load(writer.finish()); }

void check_rejected(const Status& status, std::string_view words) {
  CHECK_FALSE(status.ok());
  CHECK_MESSAGE(status.error().message.find(words) != std::string::npos, status.error().message << " (should mention '" << words << "')");
  CHECK((status.code() == Code::corrupt || status.code() == Code::unsupported));
}

ByteWriter preamble(uint32_t version, uint64_t tensors, uint64_t keys) {
  ByteWriter file;
  file.raw(std::as_bytes(std::span("GGUF", 4))).value(version).value(tensors).value(keys);
  return file;
}

}  // namespace

TEST_CASE("gguf: the small model that the attacks start from is accepted, in versions 2 and 3 and at other alignments") {
  GgufWriter writer = make_tiny_llama(kShape);
  Status status = load(writer);
  CHECK_MESSAGE(status.ok(), status.error().message);
  writer.version = 2;
  CHECK(load(writer).ok());
}

TEST_CASE("gguf: a file cut anywhere is rejected") {
  const std::vector<std::byte> bytes = make_tiny_llama(kShape).finish();
  // Bytes after the last tensor's end are padding: the file is whole without them.
  const MemorySource source(bytes);
  const auto file = GgufFile::read(source);
  REQUIRE(file.ok());
  uint64_t end = 0;
  for (const TensorInfo& tensor : file->tensors()) end = std::max(end, tensor.offset_bytes + tensor.size_bytes);
  // Only the reader: the rest of a load would make thousands of cuts slow and sees nothing of them.
  const std::span<const std::byte> whole = bytes;
  for (size_t size = 0; size < end; ++size) {
    const MemorySource cut(whole.first(size));
    const auto result = GgufFile::read(cut);
    if (result.ok() || result.code() != Code::corrupt) FAIL_CHECK("cut at " << size << " of " << end);
  }
}

TEST_CASE("gguf: a header with any byte changed is rejected or read, and never leaves its bounds") {
  const GgufWriter writer = make_tiny_llama(kShape);
  std::vector<std::byte> bytes = writer.finish();
  const size_t header_bytes = writer.header().size();
  size_t rejected = 0, accepted = 0;
  for (size_t at = 0; at < header_bytes; ++at) {
    const std::byte original = bytes[at];
    for (const std::byte changed : {~original, std::byte{0}, std::byte{0xFF}}) {
      bytes[at] = changed;
      const MemorySource source(bytes);
      GgufFile::read(source).ok() ? ++accepted : ++rejected;
    }
    bytes[at] = original;
  }
  CAPTURE(accepted);
  CAPTURE(rejected);
  CHECK(rejected > 0);
  CHECK(accepted > 0);
}

TEST_CASE("gguf: metadata with any byte changed never makes a whole load misbehave") {
  const GgufWriter writer = make_tiny_llama(kShape);
  std::vector<std::byte> bytes = writer.finish();
  const size_t header_bytes = writer.header().size();
  size_t rejected = 0, accepted = 0;
  for (size_t at = 24; at < header_bytes; at += 13) {
    const std::byte original = bytes[at];
    bytes[at] = ~original;
    load(bytes).ok() ? ++accepted : ++rejected;
    bytes[at] = original;
  }
  CHECK(rejected > 0);
  CHECK(accepted > 0);
}

TEST_CASE("gguf: wrong magic, versions and byte orders are rejected by name") {
  ByteWriter magic;
  magic.raw(std::as_bytes(std::span("GGML", 4))).value(3u).value(uint64_t{0}).value(uint64_t{0});
  check_rejected(load(magic.bytes()), "not a GGUF file");
  for (const uint32_t version : {0u, 1u, 4u, 0x7fffffffu}) check_rejected(load(preamble(version, 0, 0).bytes()), "GGUF version");
  check_rejected(load(preamble(0x03000000u, 0, 0).bytes()), "big-endian");
  check_rejected(load(std::span<const std::byte>()), "ends after 0 bytes");
}

TEST_CASE("gguf: counts that cannot fit in the file are rejected before anything is allocated") {
  constexpr uint64_t kCounts[] = {~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 32, ~uint64_t{0} / 14 + 1, ~uint64_t{0} / 64 + 2};
  for (const uint64_t count : kCounts) {
    check_rejected(load(preamble(3, count, 0).bytes()), "tensors cannot fit");
    check_rejected(load(preamble(3, 0, count).bytes()), "metadata keys cannot fit");
  }
}

TEST_CASE("gguf: strings longer than the file or the format allows are rejected") {
  for (const uint64_t size : {~uint64_t{0}, uint64_t{1} << 31, uint64_t{1000}}) {
    check_rejected(load(preamble(3, 0, 1).value(size).value(uint64_t{0}).value(uint64_t{0}).bytes()), "a metadata key of");
  }
  GgufWriter writer;
  writer.add_raw("a.b", MetadataType::string, ByteWriter().value(~uint64_t{0}).bytes());
  check_rejected(load(writer), "a metadata string of");
  GgufWriter key;
  key.add_u32(std::string(65536, 'k'), 1);
  check_rejected(load(key), "65536");
}

TEST_CASE("gguf: keys that are empty, not visible ASCII, or have empty segments are rejected") {
  for (const std::string& name : {std::string(), std::string("a\0b", 3), std::string("\xFF\xFE"), std::string("a b")}) {
    GgufWriter writer;
    writer.add_u32(name, 1);
    check_rejected(load(writer), "key");
  }
  for (const char* name : {"..", "a..b", ".a", "a."}) {
    GgufWriter writer;
    writer.add_u32(name, 1);
    check_rejected(load(writer), "empty segment");
  }
}

TEST_CASE("gguf: arrays too long, too deep, of no type, or with booleans that are neither are rejected") {
  GgufWriter longer;
  longer.add_raw("a", MetadataType::array, ByteWriter().type(MetadataType::u8).value(uint64_t{1} << 40).bytes());
  check_rejected(load(longer), "array elements cannot fit");

  ByteWriter nested;
  for (int depth = 0; depth < 10000; ++depth) nested.type(MetadataType::array).value(uint64_t{1});
  nested.type(MetadataType::u8).value(uint64_t{1}).value(uint8_t{1});
  GgufWriter deep;
  deep.add_raw("a", MetadataType::array, nested.bytes());
  check_rejected(load(deep), "deep");

  GgufWriter untyped;
  untyped.add_raw("a", MetadataType::array, ByteWriter().value(13u).value(uint64_t{0}).bytes());
  check_rejected(load(untyped), "unknown metadata type 13");

  GgufWriter boolean;
  boolean.add_raw("a", MetadataType::boolean, ByteWriter().value(uint8_t{2}).bytes());
  check_rejected(load(boolean), "boolean 2");
}

TEST_CASE("gguf: arrays nested as deep as allowed are passed over") {
  ByteWriter nested;
  nested.type(MetadataType::array).value(uint64_t{1}).type(MetadataType::array).value(uint64_t{1});
  nested.type(MetadataType::string).value(uint64_t{2}).string("x").string("y");
  GgufWriter writer = make_tiny_llama(kShape);
  writer.add_raw("nested", MetadataType::array, nested.bytes());
  CHECK(load(writer).ok());
}

TEST_CASE("gguf: tensor shapes that are zero, overflow or no multiple of a block are rejected") {
  const std::vector<std::vector<uint64_t>> shapes = {
      {0},
      {uint64_t{1} << 63},
      {uint64_t{0x7fffffffffffffff}, 2},
      {uint64_t{1} << 32, uint64_t{1} << 32, 2},
      {uint64_t{1} << 33, (uint64_t{1} << 31) + 1},
      {~uint64_t{0}},
  };
  for (const auto& shape : shapes) {
    GgufWriter writer = make_tiny_llama(kShape);
    writer.tensors[0].dims = shape;
    check_rejected(load(writer), "token_embd.weight has a dimension");
  }
  GgufWriter wide = make_tiny_llama(kShape);
  wide.tensors[0].dims = {uint64_t{1} << 62};
  check_rejected(load(wide), "more than 2^64 bytes");
  GgufWriter dims = make_tiny_llama(kShape);
  dims.tensors[0].dims = {1, 1, 1, 1, 1};
  check_rejected(load(dims), "5 dimensions");
  dims.tensors[0].dims = {};
  check_rejected(load(dims), "0 dimensions");
  GgufWriter block = make_tiny_llama(kShape);
  block.tensors[0].type = static_cast<uint32_t>(GgmlType::q4_1);
  check_rejected(load(block), "no multiple of the 32");
  for (const uint32_t type : {4u, 5u, 31u, 255u, 0xffffffffu}) {
    block.tensors[0].type = type;
    check_rejected(load(block), "unknown or removed type");
  }
}

TEST_CASE("gguf: two tensors whose sizes together pass 2^64 are rejected") {
  GgufWriter writer;
  writer.add_tensor("a", GgmlType::f32, {uint64_t{1} << 61}, {});
  writer.add_tensor("b", GgmlType::f32, {uint64_t{1} << 61}, {});
  writer.tensors[1].offset_bytes = uint64_t{1} << 63;
  check_rejected(load(writer), "ends after the file's");
}

TEST_CASE("gguf: alignments that are no power of two from 8 on, of another type, or given twice are rejected") {
  for (const uint32_t alignment : {0u, 1u, 4u, 13u, 1u << 31}) {
    GgufWriter writer = make_tiny_llama(kShape);
    writer.add_u32("general.alignment", alignment);
    check_rejected(load(writer), "general.alignment is");
  }
  GgufWriter typed = make_tiny_llama(kShape);
  typed.add_string("general.alignment", "32");
  check_rejected(load(typed), "must be u32");
  GgufWriter twice = make_tiny_llama(kShape);
  twice.add_u32("general.alignment", 32);
  twice.add_u32("general.alignment", 32);
  check_rejected(load(twice), "twice");
}

TEST_CASE("gguf: tensors outside the file, by one byte, overlapping or unaligned are rejected") {
  GgufWriter writer = make_tiny_llama(kShape);
  writer.tensors[1].offset_bytes = uint64_t{1} << 40;
  check_rejected(load(writer), "ends after the file's");
  writer.tensors[1].offset_bytes = ~uint64_t{31};
  check_rejected(load(writer), "ends after the file's");
  writer.tensors[1].offset_bytes = 33;
  check_rejected(load(writer), "no multiple of the alignment");
  writer.tensors[1].offset_bytes = writer.tensors[0].offset_bytes;
  check_rejected(load(writer), "overlap");

  std::vector<std::byte> bytes = make_tiny_llama(kShape).finish();
  bytes.pop_back();
  check_rejected(load(bytes), "ends after the file's");
}

TEST_CASE("gguf: keys and tensors that are there twice, names too long, and missing or misshapen tensors are rejected") {
  GgufWriter key = make_tiny_llama(kShape);
  key.add_u32("llama.block_count", 1);
  check_rejected(load(key), "llama.block_count' is there twice");

  GgufWriter tensor = make_tiny_llama(kShape);
  tensor.tensors[2].name = tensor.tensors[1].name;
  check_rejected(load(tensor), "is there twice");

  GgufWriter longest = make_tiny_llama(kShape);
  longest.tensors[1].name = std::string(64, 'n');
  check_rejected(load(longest), "no tensor output_norm.weight");
  longest.tensors[1].name = std::string(65, 'n');
  check_rejected(load(longest), "a tensor name of 65");

  for (size_t i = 0; i < longest.tensors.size(); ++i) {
    GgufWriter missing = make_tiny_llama(kShape);
    const std::string name = missing.tensors[i].name;
    missing.tensors[i].name = "elsewhere";
    check_rejected(load(missing), "no tensor " + name);
    GgufWriter misshapen = make_tiny_llama(kShape);
    misshapen.tensors[i].dims[0] -= 8;
    check_rejected(load(misshapen), "tensor " + name + " has the shape");
  }
  for (const char* extra : {"blk.99999999999.attn_q.weight", "blk.1.attn_q.weight", "blk.00.attn_q.weight", "blk.0.attn_q_norm.weight", "output.bias"}) {
    GgufWriter writer = make_tiny_llama(kShape);
    writer.add_tensor(extra, GgmlType::f32, {8}, std::vector<std::byte>(32));
    check_rejected(load(writer), "has no meaning");
  }
  for (const char* optional : {"blk.0.attn_q.bias", "blk.0.ffn_down.bias", "rope_freqs.weight"}) {
    GgufWriter writer = make_tiny_llama(kShape);
    writer.add_tensor(optional, GgmlType::f32, {24}, std::vector<std::byte>(96));
    check_rejected(load(writer), std::string("tensor ") + optional + " has the shape");
  }
  GgufWriter vector = make_tiny_llama(kShape);
  vector.find_tensor("output_norm.weight")->type = static_cast<uint32_t>(GgmlType::i32);
  check_rejected(load(vector), "a vector must be F32, F16 or BF16");
}

TEST_CASE("gguf: a million tiny keys or tensors are read in little time") {
  constexpr uint64_t kCount = 1000000;
  ByteWriter keys = preamble(3, 0, kCount);
  for (uint64_t i = 0; i < kCount; ++i) keys.string("k" + std::to_string(i)).type(MetadataType::array).type(MetadataType::string).value(uint64_t{1}).string("v");
  const MemorySource key_source(keys.bytes());
  const CpuTime key_time;
  CHECK(GgufFile::read(key_source).ok());
  CHECK(key_time.seconds() < 4.0);

  ByteWriter tensors = preamble(3, kCount, 0);
  for (uint64_t i = 0; i < kCount; ++i) tensors.string("t" + std::to_string(i)).value(1u).value(uint64_t{1}).value(24u).value(i * 32);
  tensors.pad_to(32);
  std::vector<std::byte> file = tensors.bytes();
  file.resize(file.size() + kCount * 32);
  const MemorySource tensor_source(file);
  const CpuTime tensor_time;
  CHECK(GgufFile::read(tensor_source).ok());
  CHECK(tensor_time.seconds() < 4.0);
}

TEST_CASE("gguf: metadata that would need more memory than the limit is rejected") {
  GgufWriter writer = make_tiny_llama(kShape);
  const std::vector<std::byte> bytes = writer.finish();
  const MemorySource source(bytes);
  const auto result = GgufFile::read(source, GgufLimits{.memory_bytes = 4096});
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().message.find("4096") != std::string::npos);
}
