#include "engine/model/gguf_reader.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.hpp"

using namespace quire;
using namespace quire::testing;

namespace {

GgufFile read(const GgufWriter& writer) {
  const std::vector<std::byte> bytes = writer.finish();
  const MemorySource source(bytes);
  auto file = GgufFile::read(source);
  REQUIRE_MESSAGE(file.ok(), file.error().message);
  return std::move(file).value();
}

}  // namespace

TEST_CASE("gguf_reader: integers of any type are read where they fit and refused where they do not") {
  GgufWriter writer;
  writer.add_raw("u8", MetadataType::u8, ByteWriter().value(uint8_t{255}).bytes());
  writer.add_raw("i8", MetadataType::i8, ByteWriter().value(int8_t{-1}).bytes());
  writer.add_raw("i16", MetadataType::i16, ByteWriter().value(int16_t{32767}).bytes());
  writer.add_i32("i32", -5);
  writer.add_u64("u64", uint64_t{1} << 32);
  writer.add_raw("i64", MetadataType::i64, ByteWriter().value(int64_t{7}).bytes());
  const GgufFile file = read(writer);
  CHECK(*file.get_u32("u8") == 255);
  CHECK(*file.get_u32("i16") == 32767);
  CHECK(*file.get_u32("i64") == 7);
  CHECK(*file.get_u64("u64") == uint64_t{1} << 32);
  CHECK(file.get_u32("u64").code() == Code::corrupt);
  CHECK(file.get_u64("i8").error().message == "i8 is -1; it must not be negative");
  CHECK(file.get_u32("i32").error().message == "i32 is -5; it must not be negative");
  CHECK(file.get_u32("absent").error().message == "the file has no metadata key absent");
  CHECK(*file.get_u32_or("absent", 9) == 9);
  CHECK(file.get_u32_or("u64", 9).code() == Code::corrupt);
  CHECK(file.get_string("u8").error().message == "u8 is of type u8; it must be a string");
}

TEST_CASE("gguf_reader: strings, arrays and their elements come back, and a moved file keeps them") {
  GgufWriter writer;
  const std::vector<std::string> words = {"", "one", std::string("t\0wo", 4), std::string(300000, 'x')};
  const std::vector<float> reals = {1.5f, -2.25f};
  const std::vector<int32_t> integers = {-1, 0, 1};
  writer.add_string("text", "hello");
  writer.add_strings("words", words);
  writer.add_f32s("reals", reals);
  writer.add_i32s("integers", integers);
  writer.add_strings("none", {});
  writer.add_bool("flag", true);
  GgufFile first = read(writer);
  const GgufFile file = std::move(first);
  CHECK(*file.get_string("text") == "hello");
  const auto strings = file.get_strings("words");
  REQUIRE(strings.ok());
  REQUIRE(strings->size() == words.size());
  for (size_t i = 0; i < words.size(); ++i) CHECK((*strings)[i] == words[i]);
  CHECK(*file.get_f32_array("reals") == reals);
  CHECK(*file.get_i32_array("integers") == integers);
  CHECK(file.get_f32_array("integers").code() == Code::corrupt);
  CHECK(file.get_strings("integers").error().message == "integers is an array of i32; it must be an array of strings");
  CHECK(file.get_strings("none")->size() == 0);
  CHECK(*file.get_bool("flag"));
}

TEST_CASE("gguf_reader: metadata is listed in the file's order, long values cut") {
  GgufWriter writer;
  writer.add_string("z", "abcdef");
  writer.add_i32s("a", std::vector<int32_t>{1, 2, 3});
  writer.add_f32("f", 0.5f);
  const GgufFile file = read(writer);
  REQUIRE(file.metadata_count() == 3);
  CHECK(file.metadata(0).key == "z");
  CHECK(file.metadata_text(0, 3, 2) == "abc...");
  CHECK(file.metadata(1).count == 3);
  CHECK(file.metadata_text(1, 3, 2) == "[1, 2, ... 3 in all]");
  CHECK(file.metadata_text(1, 3, 3) == "[1, 2, 3]");
  CHECK(file.metadata_text(2, 3, 2) == "0.5");
}

TEST_CASE("gguf_reader: tensors have their place in the file, at the default alignment and at another") {
  for (const uint32_t alignment : {32u, 4096u}) {
    GgufWriter writer;
    writer.alignment = alignment;
    writer.add_tensor("a", GgmlType::f32, {3}, std::vector<std::byte>(12));
    writer.add_tensor("b", GgmlType::q4_1, {64, 2}, std::vector<std::byte>(80, std::byte{7}));
    const std::vector<std::byte> bytes = writer.finish();
    const MemorySource source(bytes);
    const auto file = GgufFile::read(source);
    REQUIRE(file.ok());
    CHECK(file->alignment_bytes() == alignment);
    const TensorInfo* b = file->find_tensor("b");
    REQUIRE(b != nullptr);
    CHECK(b->size_bytes == 80);
    CHECK(b->offset_bytes % alignment == 0);
    CHECK(b->dims == std::array<uint64_t, 4>{64, 2, 1, 1});
    std::vector<std::byte> data(80);
    CHECK(source.read_at(b->offset_bytes, data).ok());
    CHECK(data == std::vector<std::byte>(80, std::byte{7}));
    CHECK(file->find_tensor("c") == nullptr);
  }
}

TEST_CASE("gguf_reader: every tensor type has a name of its own and a block") {
  std::set<std::string_view> names;
  for (const GgmlTypeInfo& info : ggml_types()) {
    names.insert(info.name);
    CHECK(info.block_bytes > 0);
    CHECK((info.block_elements == 1 || info.block_elements == 32 || info.block_elements == 256));
    CHECK(find_ggml_type(static_cast<uint32_t>(info.type)) == &info);
  }
  CHECK(names.size() == ggml_types().size());
  CHECK(find_ggml_type(4) == nullptr);
  CHECK(ggml_type_name(GgmlType::q4_1) == "Q4_1");
}
