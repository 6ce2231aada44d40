// Lane tiles hold exactly the file's bytes, in the places that weight_tiles.h gives.
#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/forward/weight_layout.hpp"
#include "shaders/interface/weight_tiles.h"

using namespace quire;

namespace {

constexpr uint32_t kSeed = 20261;

struct Shape {
  WeightType type;
  WeightBlock block;
  uint32_t rows;
  uint32_t width;
};

constexpr WeightBlock kF32{WEIGHT_F32_ELEMENTS, WEIGHT_F32_CODE_DWORDS, WEIGHT_F32_SCALES, WEIGHT_F32_CODE_OFFSET};
constexpr WeightBlock kF16{WEIGHT_F16_ELEMENTS, WEIGHT_F16_CODE_DWORDS, WEIGHT_F16_SCALES, WEIGHT_F16_CODE_OFFSET};
constexpr WeightBlock kQ4_1{WEIGHT_Q4_1_ELEMENTS, WEIGHT_Q4_1_CODE_DWORDS, WEIGHT_Q4_1_SCALES, WEIGHT_Q4_1_CODE_OFFSET};
constexpr WeightBlock kQ8_0{WEIGHT_Q8_0_ELEMENTS, WEIGHT_Q8_0_CODE_DWORDS, WEIGHT_Q8_0_SCALES, WEIGHT_Q8_0_CODE_OFFSET};
constexpr Shape kShapes[] = {{WeightType::f32, kF32, 9, 7},    {WeightType::f16, kF16, 17, 13},  {WeightType::q4_1, kQ4_1, 8, 64},
                             {WeightType::q4_1, kQ4_1, 13, 96}, {WeightType::q8_0, kQ8_0, 11, 96}, {WeightType::q8_0, kQ8_0, 3, 32}};

std::vector<std::byte> random_bytes(size_t count, std::mt19937& random) {
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// Gathers a row back from its lane, block by block, as the file has it.
std::vector<std::byte> unpack_row(const Shape& shape, uint32_t lanes, uint32_t row, std::span<const std::byte> packed) {
  const WeightBlock& block = shape.block;
  const uint32_t row_blocks = weight_row_blocks(shape.width, block.elements);
  const std::byte* tile = packed.data() + size_t{row / lanes} * 4 * weight_tile_dwords(block, lanes, row_blocks);
  std::vector<std::byte> bytes;
  for (uint32_t b = 0; b < row_blocks; ++b) {
    std::vector<std::byte> scales, codes;
    for (uint32_t s = 0; s < block.scales; ++s) {
      const uint32_t scale = b * block.scales + s;
      const std::byte* at = tile + size_t{4} * weight_scale_dword(block, lanes, row_blocks, scale, row % lanes) + 2 * (scale % 2);
      scales.insert(scales.end(), at, at + 2);
    }
    for (uint32_t d = 0; d < block.code_dwords; ++d) {
      const std::byte* at = tile + size_t{4} * weight_code_dword(block, lanes, b, d, row % lanes);
      codes.insert(codes.end(), at, at + 4);
    }
    scales.insert(scales.begin() + block.code_offset, codes.begin(), codes.end());
    bytes.insert(bytes.end(), scales.begin(), scales.end());
  }
  return bytes;
}

}  // namespace

TEST_CASE("weight_layout: lane tiles keep every bit of every row and pad with zeros") {
  std::mt19937 random(kSeed);
  for (const uint32_t lanes : {4u, 8u, 32u})
    for (const Shape& shape : kShapes) {
      CAPTURE(std::string(weight_type_name(shape.type)));
      CAPTURE(lanes);
      CAPTURE(kSeed);
      const size_t row_bytes = file_row_bytes(shape.type, shape.width);
      const std::vector<std::byte> file = random_bytes(row_bytes * shape.rows, random);
      std::vector<std::byte> packed = random_bytes(packed_bytes(WeightLayout::lane_tiles, lanes, shape.type, shape.rows, shape.width), random);
      pack_rows(WeightLayout::lane_tiles, lanes, shape.type, shape.rows, shape.width, file, packed);
      size_t file_bits = 0, packed_bits = 0;
      for (const std::byte byte : file) file_bits += static_cast<size_t>(__builtin_popcount(std::to_integer<unsigned>(byte)));
      for (const std::byte byte : packed) packed_bits += static_cast<size_t>(__builtin_popcount(std::to_integer<unsigned>(byte)));
      CHECK(packed_bits == file_bits);  // so everything that is not a row is zero
      for (uint32_t r = 0; r < shape.rows; ++r) {
        std::vector<std::byte> row = unpack_row(shape, lanes, r, packed);
        row.resize(row_bytes);
        CHECK(std::memcmp(row.data(), file.data() + r * row_bytes, row_bytes) == 0);
      }
    }
}

TEST_CASE("weight_layout: tiles of a real matrix take at most two per cent and one tile more than the file") {
  for (const WeightType type : {WeightType::q4_1, WeightType::q8_0})
    for (const uint32_t width : {576u, 1536u, 640u}) {
      const uint64_t file = file_row_bytes(type, width) * 49'152;
      const uint64_t tile = packed_bytes(WeightLayout::lane_tiles, 8, type, 1, width);
      CHECK(packed_bytes(WeightLayout::lane_tiles, 8, type, 49'152, width) <= file + file / 50 + tile);
    }
}

TEST_CASE("weight_layout: file_blocks is a plain copy") {
  std::mt19937 random(kSeed);
  const std::vector<std::byte> file = random_bytes(file_row_bytes(WeightType::q8_0, 64) * 5, random);
  REQUIRE(packed_bytes(WeightLayout::file_blocks, 8, WeightType::q8_0, 5, 64) == file.size());
  std::vector<std::byte> packed(file.size());
  pack_rows(WeightLayout::file_blocks, 8, WeightType::q8_0, 5, 64, file, packed);
  CHECK(packed == file);
}
