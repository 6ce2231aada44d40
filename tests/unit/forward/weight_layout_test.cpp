// Lane tiles hold exactly the file's bytes, in the places that weight_tiles.h gives.
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/forward/weight_layout.hpp"
#include "engine/model/ggml_type.hpp"
#include "shaders/interface/weight_tiles.h"

using namespace quire;

namespace {

constexpr uint32_t kSeed = 20261;

/// Rows and width of a matrix: whole blocks, in a number that leaves the last pair of 16-bit values half full and one that does not. Types without blocks
/// have rows that end inside four words.
struct Shape {
  uint32_t rows;
  uint32_t width;
};
std::vector<Shape> shapes_of(const WeightTypeInfo& info) {
  const uint32_t block = info.file_block_elements;
  if (block == 1) return {{9, 7}, {17, 13}, {8, 64}};
  return {{8, 2 * block}, {13, 3 * block}, {3, block}};
}

std::vector<std::byte> random_bytes(size_t count, std::mt19937& random) {
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// Gathers a row back from its lane, block by block, as the file has it.
std::vector<std::byte> unpack_row(const WeightBlock& block, const Shape& shape, uint32_t lanes, uint32_t row, std::span<const std::byte> packed) {
  const uint32_t row_blocks = weight_row_blocks(shape.width, block.elements);
  const std::byte* tile = packed.data() + size_t{row / lanes} * 4 * weight_tile_words(block, lanes, row_blocks);
  std::vector<std::byte> bytes;
  for (uint32_t b = 0; b < row_blocks; ++b) {
    std::vector<std::byte> halves, words;
    for (uint32_t h = 0; h < block.halves; ++h) {
      const uint32_t number = b * block.halves + h;
      const std::byte* at = tile + size_t{4} * weight_half_index(block, lanes, number, row % lanes) + 2 * (number % 2);
      halves.insert(halves.end(), at, at + 2);
    }
    for (uint32_t w = 0; w < block.words; ++w) {
      const std::byte* at = tile + size_t{4} * weight_word_index(block, lanes, b, w, row % lanes);
      words.insert(words.end(), at, at + 4);
    }
    halves.insert(halves.begin() + block.words_offset, words.begin(), words.end());
    bytes.insert(bytes.end(), halves.begin(), halves.end());
  }
  return bytes;
}

}  // namespace

TEST_CASE("weight_layout: lane tiles keep every bit of every row of every type and pad with zeros") {
  std::mt19937 random(kSeed);
  for (const uint32_t lanes : {4u, 8u, 32u})
    for (const WeightTypeInfo& info : weight_types())
      for (const Shape& shape : shapes_of(info)) {
        CAPTURE(std::string(info.name));
        CAPTURE(lanes);
        CAPTURE(kSeed);
        const size_t row_bytes = file_row_bytes(info.type, shape.width);
        const std::vector<std::byte> file = random_bytes(row_bytes * shape.rows, random);
        std::vector<std::byte> packed = random_bytes(packed_bytes(WeightLayout::lane_tiles, lanes, info.type, shape.rows, shape.width), random);
        pack_rows(WeightLayout::lane_tiles, lanes, info.type, shape.rows, shape.width, file, packed);
        size_t file_bits = 0, packed_bits = 0;
        for (const std::byte byte : file) file_bits += static_cast<size_t>(__builtin_popcount(std::to_integer<unsigned>(byte)));
        for (const std::byte byte : packed) packed_bits += static_cast<size_t>(__builtin_popcount(std::to_integer<unsigned>(byte)));
        CHECK(packed_bits == file_bits);  // so everything that is not a row is zero
        for (uint32_t r = 0; r < shape.rows; ++r) {
          std::vector<std::byte> row = unpack_row(info.block, shape, lanes, r, packed);
          row.resize(row_bytes);
          CHECK(std::memcmp(row.data(), file.data() + r * row_bytes, row_bytes) == 0);
        }
      }
}

TEST_CASE("weight_layout: tiles of a real matrix take at most two per cent and one tile more than the file") {
  for (const WeightTypeInfo& info : weight_types())
    for (const uint32_t width : {576u, 1536u, 640u, 2048u, 256u, 1280u}) {
      if (width % info.file_block_elements != 0) continue;
      CAPTURE(std::string(info.name));
      CAPTURE(width);
      const uint64_t file = file_row_bytes(info.type, width) * 49'152;
      const uint64_t tile = packed_bytes(WeightLayout::lane_tiles, 8, info.type, 1, width);
      CHECK(packed_bytes(WeightLayout::lane_tiles, 8, info.type, 49'152, width) <= file + file / 50 + tile);
    }
}

TEST_CASE("weight_layout: the manifest's weight types are those of the file format, with its numbers, names and blocks; others are none") {
  size_t found = 0;
  for (const GgmlTypeInfo& ggml : ggml_types()) {
    CAPTURE(std::string(ggml.name));
    const auto type = weight_type_from_ggml(static_cast<uint32_t>(ggml.type));
    if (!type) continue;
    ++found;
    const WeightTypeInfo& info = weight_type_info(*type);
    std::string name(ggml.name);
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
    CHECK(info.name == name);
    CHECK(info.file_block_elements == ggml.block_elements);
    CHECK(info.file_block_bytes() == ggml.block_bytes);
  }
  CHECK(found == weight_types().size());
  CHECK_FALSE(weight_type_from_ggml(static_cast<uint32_t>(GgmlType::iq2_xxs)).has_value());
  CHECK_FALSE(weight_type_from_ggml(static_cast<uint32_t>(GgmlType::mxfp4)).has_value());
}

TEST_CASE("weight_layout: file_blocks is a plain copy") {
  std::mt19937 random(kSeed);
  const std::vector<std::byte> file = random_bytes(file_row_bytes(WeightType::q8_0, 64) * 5, random);
  REQUIRE(packed_bytes(WeightLayout::file_blocks, 8, WeightType::q8_0, 5, 64) == file.size());
  std::vector<std::byte> packed(file.size());
  pack_rows(WeightLayout::file_blocks, 8, WeightType::q8_0, 5, 64, file, packed);
  CHECK(packed == file);
}
