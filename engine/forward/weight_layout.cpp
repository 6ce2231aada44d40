#include "engine/forward/weight_layout.hpp"

#include <algorithm>
#include <cstring>

#include "engine/base/checked.hpp"
#include "shaders/interface/weight_tiles.h"

namespace quire {
namespace {

constexpr uint32_t kDwordBytes = 4;
constexpr uint32_t kScaleBytes = 2;

constexpr WeightBlock weight_block(WeightType type) {
  switch (type) {
    case WeightType::f32: return {WEIGHT_F32_ELEMENTS, WEIGHT_F32_CODE_DWORDS, WEIGHT_F32_SCALES, WEIGHT_F32_CODE_OFFSET};
    case WeightType::f16: return {WEIGHT_F16_ELEMENTS, WEIGHT_F16_CODE_DWORDS, WEIGHT_F16_SCALES, WEIGHT_F16_CODE_OFFSET};
    case WeightType::q4_1: return {WEIGHT_Q4_1_ELEMENTS, WEIGHT_Q4_1_CODE_DWORDS, WEIGHT_Q4_1_SCALES, WEIGHT_Q4_1_CODE_OFFSET};
    case WeightType::q8_0: return {WEIGHT_Q8_0_ELEMENTS, WEIGHT_Q8_0_CODE_DWORDS, WEIGHT_Q8_0_SCALES, WEIGHT_Q8_0_CODE_OFFSET};
    case WeightType::none: break;
  }
  return {1, 0, 0, 0};
}

/// Bytes of one tile block as the file has it: codes and scales.
constexpr uint32_t block_bytes(const WeightBlock& block) { return kDwordBytes * block.code_dwords + kScaleBytes * block.scales; }

/// One row of the file to its place in a tile. `row` is shorter than row_blocks blocks where the width is no multiple of a block.
void pack_row(const WeightBlock& block, uint32_t tile_rows, uint32_t row_blocks, uint32_t row_in_tile, std::span<const std::byte> row, std::byte* tile) {
  const uint32_t bytes = block_bytes(block);
  const uint32_t code_bytes = kDwordBytes * block.code_dwords;
  std::byte whole[256];
  for (uint32_t b = 0; b < row_blocks; ++b) {
    const size_t begin = size_t{b} * bytes;
    const size_t present = row.size() - begin < bytes ? row.size() - begin : bytes;
    std::memset(whole + present, 0, bytes - present);
    std::memcpy(whole, row.data() + begin, present);
    for (uint32_t d = 0; d < block.code_dwords; ++d)
      std::memcpy(tile + size_t{kDwordBytes} * weight_code_dword(block, tile_rows, b, d, row_in_tile), whole + block.code_offset + kDwordBytes * d, kDwordBytes);
    for (uint32_t s = 0; s < block.scales; ++s) {
      const uint32_t before = kScaleBytes * s;  // bytes of scales ahead of it; the codes may lie in between
      const uint32_t source = before < block.code_offset ? before : before + code_bytes;
      const uint32_t scale = b * block.scales + s;
      std::memcpy(tile + size_t{kDwordBytes} * weight_scale_dword(block, tile_rows, row_blocks, scale, row_in_tile) + kScaleBytes * (scale % 2), whole + source,
                  kScaleBytes);
    }
  }
}

}  // namespace

uint32_t file_block_elements(WeightType type) {
  const WeightBlock block = weight_block(type);
  return block.scales == 0 ? 1 : block.elements;
}

uint32_t file_block_bytes(WeightType type) {
  const WeightBlock block = weight_block(type);
  return block.scales == 0 ? block_bytes(block) / block.elements : block_bytes(block);
}

uint64_t file_row_bytes(WeightType type, uint64_t width) { return width / file_block_elements(type) * file_block_bytes(type); }

uint64_t packed_bytes(WeightLayout layout, uint32_t tile_rows, WeightType type, uint64_t rows, uint64_t width) {
  if (layout == WeightLayout::file_blocks) return rows * file_row_bytes(type, width);
  const WeightBlock block = weight_block(type);
  const uint32_t row_blocks = weight_row_blocks(static_cast<uint32_t>(width), block.elements);
  return ceil_div<uint64_t>(rows, tile_rows) * kDwordBytes * weight_tile_dwords(block, tile_rows, row_blocks);
}

uint32_t unpack_group_elements(WeightType type) { return std::min(weight_block(type).elements, 32u); }

void pack_rows(WeightLayout layout, uint32_t tile_rows, WeightType type, uint32_t row_count, uint32_t width, std::span<const std::byte> file_rows,
               std::span<std::byte> packed) {
  if (layout == WeightLayout::file_blocks) {
    std::memcpy(packed.data(), file_rows.data(), file_rows.size());
    return;
  }
  const WeightBlock block = weight_block(type);
  const uint32_t row_blocks = weight_row_blocks(width, block.elements);
  const size_t tile_bytes = size_t{kDwordBytes} * weight_tile_dwords(block, tile_rows, row_blocks);
  const size_t row_bytes = static_cast<size_t>(file_row_bytes(type, width));
  std::memset(packed.data(), 0, packed.size());
  for (uint32_t r = 0; r < row_count; ++r)
    pack_row(block, tile_rows, row_blocks, r % tile_rows, file_rows.subspan(r * row_bytes, row_bytes), packed.data() + r / tile_rows * tile_bytes);
}

}  // namespace quire
