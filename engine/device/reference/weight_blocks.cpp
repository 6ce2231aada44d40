#include "engine/device/reference/weight_blocks.hpp"

#include <bit>
#include <cstring>

#include "engine/base/half.hpp"

namespace quire::reference {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks are little-endian in the file and are read as they are");

constexpr size_t kBlockElements = 32;

template <class Block>
Block read_block(const std::byte* row, size_t index) {
  Block block;
  std::memcpy(&block, row + index * sizeof(Block), sizeof(Block));
  return block;
}

void unpack_f32(const std::byte* row, std::span<float> values) { std::memcpy(values.data(), row, values.size_bytes()); }

void unpack_f16(const std::byte* row, std::span<float> values) {
  for (size_t i = 0; i < values.size(); ++i) values[i] = half_to_float(read_block<uint16_t>(row, i));
}

// The product of an 11-bit scale and a code of at most 8 bits is exact in a float; q4_1's sum is rounded once.
void unpack_q4_1(const std::byte* row, std::span<float> values) {
  for (size_t b = 0; b < values.size() / kBlockElements; ++b) {
    const auto block = read_block<BlockQ41>(row, b);
    const float scale = half_to_float(block.scale);
    const float minimum = half_to_float(block.minimum);
    float* out = values.data() + b * kBlockElements;
    for (size_t j = 0; j < 16; ++j) {
      out[j] = scale * static_cast<float>(block.nibbles[j] & 15) + minimum;
      out[j + 16] = scale * static_cast<float>(block.nibbles[j] >> 4) + minimum;
    }
  }
}

void unpack_q8_0(const std::byte* row, std::span<float> values) {
  for (size_t b = 0; b < values.size() / kBlockElements; ++b) {
    const auto block = read_block<BlockQ80>(row, b);
    const float scale = half_to_float(block.scale);
    for (size_t j = 0; j < kBlockElements; ++j) values[b * kBlockElements + j] = scale * static_cast<float>(block.codes[j]);
  }
}

}  // namespace

uint64_t weight_row_bytes(WeightType type, uint64_t width) {
  switch (type) {
    case WeightType::f32: return 4 * width;
    case WeightType::f16: return 2 * width;
    case WeightType::q4_1: return width / kBlockElements * sizeof(BlockQ41);
    case WeightType::q8_0: return width / kBlockElements * sizeof(BlockQ80);
    case WeightType::none: return 0;
  }
  return 0;
}

void unpack_weight_row(WeightType type, const std::byte* row, std::span<float> values) {
  switch (type) {
    case WeightType::f32: return unpack_f32(row, values);
    case WeightType::f16: return unpack_f16(row, values);
    case WeightType::q4_1: return unpack_q4_1(row, values);
    case WeightType::q8_0: return unpack_q8_0(row, values);
    case WeightType::none: return;
  }
}

}  // namespace quire::reference
