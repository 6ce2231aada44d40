#include "engine/device/reference/weight_blocks.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "engine/base/half.hpp"

namespace quire::reference {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks are little-endian in the file and are read as they are");

// A block struct's members lie as in the file; all are bytes or 16-bit values, except f32. Sums of two products are rounded once, to a float: a product of
// an 11-bit scale with a 6-bit scale and a code of a few bits is exact in one.

constexpr uint32_t kSmall = 32;   // elements of a plain block
constexpr uint32_t kLarge = 256;  // elements of a block with scales of its runs

struct BlockF32 {
  float weight;
};
void unpack(const BlockF32& block, float* values) { values[0] = block.weight; }

struct BlockF16 {
  uint16_t weight;
};
void unpack(const BlockF16& block, float* values) { values[0] = half_to_float(block.weight); }

struct BlockBf16 {
  uint16_t weight;  ///< the upper half of a float
};
void unpack(const BlockBf16& block, float* values) { values[0] = std::bit_cast<float>(uint32_t{block.weight} << 16); }

/// Element j of a block of 32 whose byte j % 16 has element j in its low half and element j + 16 in its high half.
int32_t nibble_of_pair(const uint8_t* nibbles, uint32_t j) { return j < 16 ? nibbles[j] & 15 : nibbles[j - 16] >> 4; }

struct BlockQ40 {
  uint16_t scale;
  uint8_t nibbles[16];
};
void unpack(const BlockQ40& block, float* values) {
  const float scale = half_to_float(block.scale);
  for (uint32_t j = 0; j < kSmall; ++j) values[j] = scale * static_cast<float>(nibble_of_pair(block.nibbles, j) - 8);
}

struct BlockQ41 {
  uint16_t scale;
  uint16_t minimum;
  uint8_t nibbles[16];
};
void unpack(const BlockQ41& block, float* values) {
  const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
  for (uint32_t j = 0; j < kSmall; ++j) values[j] = scale * static_cast<float>(nibble_of_pair(block.nibbles, j)) + minimum;
}

int32_t bit_of(const uint8_t* bits, uint32_t i) { return bits[i / 8] >> (i % 8) & 1; }

struct BlockQ50 {
  uint16_t scale;
  uint8_t fifth_bits[4];  ///< bit j: element j
  uint8_t nibbles[16];
};
void unpack(const BlockQ50& block, float* values) {
  const float scale = half_to_float(block.scale);
  for (uint32_t j = 0; j < kSmall; ++j)
    values[j] = scale * static_cast<float>(nibble_of_pair(block.nibbles, j) + 16 * bit_of(block.fifth_bits, j) - 16);
}

struct BlockQ51 {
  uint16_t scale;
  uint16_t minimum;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};
void unpack(const BlockQ51& block, float* values) {
  const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
  for (uint32_t j = 0; j < kSmall; ++j)
    values[j] = scale * static_cast<float>(nibble_of_pair(block.nibbles, j) + 16 * bit_of(block.fifth_bits, j)) + minimum;
}

struct BlockQ80 {
  uint16_t scale;
  int8_t codes[32];
};
void unpack(const BlockQ80& block, float* values) {
  const float scale = half_to_float(block.scale);
  for (uint32_t j = 0; j < kSmall; ++j) values[j] = scale * static_cast<float>(block.codes[j]);
}

/// Two bits of element i of 256: each half of the block has 32 bytes, and byte l of them elements l, l + 32, l + 64 and l + 96 of the half, lowest first.
int32_t two_bits(const uint8_t* bytes, uint32_t i) { return bytes[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3; }
/// One bit of element i of 256: byte l of 32 has elements l, l + 32, ..., lowest first.
int32_t one_bit(const uint8_t* bytes, uint32_t i) { return bytes[i % 32] >> i / 32 & 1; }

struct BlockQ2K {
  uint8_t runs[16];  ///< of 16 elements: scale (low half) and minimum (high half)
  uint8_t codes[64];
  uint16_t scale;
  uint16_t minimum;
};
void unpack(const BlockQ2K& block, float* values) {
  const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
  for (uint32_t i = 0; i < kLarge; ++i) {
    const uint8_t run = block.runs[i / 16];
    values[i] = scale * static_cast<float>(run & 15) * static_cast<float>(two_bits(block.codes, i)) - minimum * static_cast<float>(run >> 4);
  }
}

struct BlockQ3K {
  uint8_t third_bits[32];
  uint8_t codes[64];
  uint8_t runs[12];  ///< sixteen scales of 6 bits: bytes 0 to 7 have the low four of scales r and r + 8, bytes 8 to 11 the high two of r, r + 4, ...
  uint16_t scale;
};
void unpack(const BlockQ3K& block, float* values) {
  const float scale = half_to_float(block.scale);
  for (uint32_t i = 0; i < kLarge; ++i) {
    const uint32_t r = i / 16;
    const int32_t run = (r < 8 ? block.runs[r] & 15 : block.runs[r - 8] >> 4) | (block.runs[8 + r % 4] >> 2 * (r / 4) & 3) << 4;
    const int32_t code = two_bits(block.codes, i) + 4 * one_bit(block.third_bits, i);
    values[i] = scale * static_cast<float>(run - 32) * static_cast<float>(code - 4);
  }
}

/// Eight scales and eight minimums of 6 bits. Those of runs 0 to 3 are the low six bits of bytes r and r + 4; of runs 4 to 7 byte r + 4 has the low four of
/// both, and the top two bits of bytes r - 4 and r are their high ones.
int32_t scale_of_run(const uint8_t* runs, uint32_t r) { return r < 4 ? runs[r] & 63 : (runs[r + 4] & 15) | runs[r - 4] >> 6 << 4; }
int32_t minimum_of_run(const uint8_t* runs, uint32_t r) { return r < 4 ? runs[r + 4] & 63 : runs[r + 4] >> 4 | runs[r] >> 6 << 4; }

/// Nibble of element i of 256: byte l of each 32 has elements l (low half) and l + 32 of the same 64.
int32_t nibble_of_run(const uint8_t* nibbles, uint32_t i) { return nibbles[32 * (i / 64) + i % 32] >> 4 * (i % 64 / 32) & 15; }

struct BlockQ4K {
  uint16_t scale;
  uint16_t minimum;
  uint8_t runs[12];
  uint8_t nibbles[128];
};
void unpack(const BlockQ4K& block, float* values) {
  const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
  for (uint32_t i = 0; i < kLarge; ++i)
    values[i] = scale * static_cast<float>(scale_of_run(block.runs, i / 32)) * static_cast<float>(nibble_of_run(block.nibbles, i)) -
                minimum * static_cast<float>(minimum_of_run(block.runs, i / 32));
}

struct BlockQ5K {
  uint16_t scale;
  uint16_t minimum;
  uint8_t runs[12];
  uint8_t fifth_bits[32];
  uint8_t nibbles[128];
};
void unpack(const BlockQ5K& block, float* values) {
  const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
  for (uint32_t i = 0; i < kLarge; ++i) {
    const int32_t code = nibble_of_run(block.nibbles, i) + 16 * one_bit(block.fifth_bits, i);
    values[i] = scale * static_cast<float>(scale_of_run(block.runs, i / 32)) * static_cast<float>(code) -
                minimum * static_cast<float>(minimum_of_run(block.runs, i / 32));
  }
}

struct BlockQ6K {
  uint8_t nibbles[128];  ///< each half of the block has 64 bytes, byte l of them elements l and l + 64 of the half
  uint8_t codes[64];     ///< the high two bits
  int8_t runs[16];
  uint16_t scale;
};
void unpack(const BlockQ6K& block, float* values) {
  const float scale = half_to_float(block.scale);
  for (uint32_t i = 0; i < kLarge; ++i) {
    const int32_t low = block.nibbles[64 * (i / 128) + i % 64] >> 4 * (i % 128 / 64) & 15;
    values[i] = scale * static_cast<float>(block.runs[i / 16]) * static_cast<float>(low + 16 * two_bits(block.codes, i) - 32);
  }
}

constexpr int8_t kIq4Codebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

struct BlockIq4Nl {
  uint16_t scale;
  uint8_t nibbles[16];
};
void unpack(const BlockIq4Nl& block, float* values) {
  const float scale = half_to_float(block.scale);
  for (uint32_t j = 0; j < kSmall; ++j) values[j] = scale * static_cast<float>(kIq4Codebook[nibble_of_pair(block.nibbles, j)]);
}

struct BlockIq4Xs {
  uint16_t scale;
  uint16_t runs_high;   ///< two bits for each run of 32
  uint8_t runs_low[4];  ///< four bits for each
  uint8_t nibbles[8][16];
};
void unpack(const BlockIq4Xs& block, float* values) {
  const float scale = half_to_float(block.scale);
  for (uint32_t i = 0; i < kLarge; ++i) {
    const uint32_t r = i / 32;
    const int32_t run = (block.runs_low[r / 2] >> 4 * (r % 2) & 15) | (block.runs_high >> 2 * r & 3) << 4;
    values[i] = scale * static_cast<float>(run - 32) * static_cast<float>(kIq4Codebook[nibble_of_pair(block.nibbles[r], i % 32)]);
  }
}

template <class Block>
constexpr BlockFormat block_row(WeightType type, uint32_t elements) {
  BlockFormat format{type, elements, sizeof(Block), std::nullopt, std::nullopt, [](const std::byte* bytes, float* values) {
                       Block block;
                       std::memcpy(&block, bytes, sizeof block);
                       unpack(block, values);
                     }};
  if constexpr (requires(Block b) { b.scale; }) format.scale_offset = offsetof(Block, scale);
  if constexpr (requires(Block b) { b.minimum; }) format.minimum_offset = offsetof(Block, minimum);
  return format;
}

constexpr BlockFormat kFormats[] = {
    block_row<BlockF32>(WeightType::f32, 1),
    block_row<BlockF16>(WeightType::f16, 1),
    block_row<BlockQ40>(WeightType::q4_0, kSmall),
    block_row<BlockQ41>(WeightType::q4_1, kSmall),
    block_row<BlockQ50>(WeightType::q5_0, kSmall),
    block_row<BlockQ51>(WeightType::q5_1, kSmall),
    block_row<BlockQ80>(WeightType::q8_0, kSmall),
    block_row<BlockQ2K>(WeightType::q2_k, kLarge),
    block_row<BlockQ3K>(WeightType::q3_k, kLarge),
    block_row<BlockQ4K>(WeightType::q4_k, kLarge),
    block_row<BlockQ5K>(WeightType::q5_k, kLarge),
    block_row<BlockQ6K>(WeightType::q6_k, kLarge),
    block_row<BlockIq4Nl>(WeightType::iq4_nl, kSmall),
    block_row<BlockIq4Xs>(WeightType::iq4_xs, kLarge),
    block_row<BlockBf16>(WeightType::bf16, 1),
};

}  // namespace

const BlockFormat& block_format(WeightType type) {
  static constexpr BlockFormat kNone{WeightType::none, 1, 0, std::nullopt, std::nullopt, [](const std::byte*, float* values) { *values = 0; }};
  const auto* found = std::find_if(std::begin(kFormats), std::end(kFormats), [type](const BlockFormat& format) { return format.type == type; });
  return found != std::end(kFormats) ? *found : kNone;
}

uint64_t weight_row_bytes(WeightType type, uint64_t width) {
  const BlockFormat& format = block_format(type);
  return width / format.elements * format.bytes;
}

void unpack_weight_row(WeightType type, const std::byte* row, std::span<float> values) {
  const BlockFormat& format = block_format(type);
  for (size_t block = 0; block < values.size() / format.elements; ++block) format.unpack(row + block * format.bytes, values.data() + block * format.elements);
}

}  // namespace quire::reference
