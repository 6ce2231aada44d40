#include "engine/forward/weight_layout.hpp"

#include <cstring>

#include "engine/base/checked.hpp"
#include "shaders/interface/weight_tiles.h"

namespace quire {
namespace {

constexpr uint32_t kWordBytes = 4;
constexpr uint32_t kHalfBytes = 2;

/// Bytes of one block of a tile as the file has it.
constexpr uint32_t block_bytes(const WeightBlock& block) { return kWordBytes * block.words + kHalfBytes * block.halves; }
constexpr uint32_t kMaxBlockBytes = 256;

/// One row of the file to its place in a tile. `row` is shorter than row_blocks blocks where the width is no multiple of a block.
void pack_row(const WeightBlock& block, uint32_t tile_rows, uint32_t row_blocks, uint32_t row_in_tile, std::span<const std::byte> row, std::byte* tile) {
  const uint32_t bytes = block_bytes(block);
  const uint32_t word_bytes = kWordBytes * block.words;
  std::byte whole[kMaxBlockBytes];
  for (uint32_t b = 0; b < row_blocks; ++b) {
    const size_t begin = size_t{b} * bytes;
    const size_t present = row.size() - begin < bytes ? row.size() - begin : bytes;
    std::memset(whole + present, 0, bytes - present);
    std::memcpy(whole, row.data() + begin, present);
    for (uint32_t w = 0; w < block.words; ++w)
      std::memcpy(tile + size_t{kWordBytes} * weight_word_index(block, tile_rows, b, w, row_in_tile), whole + block.words_offset + kWordBytes * w, kWordBytes);
    for (uint32_t h = 0; h < block.halves; ++h) {
      const uint32_t before = kHalfBytes * h;  // bytes of 16-bit values ahead of it; the words may lie in between
      const uint32_t source = before < block.words_offset ? before : before + word_bytes;
      const uint32_t number = b * block.halves + h;
      std::memcpy(tile + size_t{kWordBytes} * weight_half_index(block, tile_rows, number, row_in_tile) + kHalfBytes * (number % 2), whole + source,
                  kHalfBytes);
    }
  }
}

}  // namespace

uint64_t file_row_bytes(WeightType type, uint64_t width) {
  const WeightTypeInfo& info = weight_type_info(type);
  return width / info.file_block_elements * info.file_block_bytes();
}

uint64_t packed_bytes(WeightLayout layout, uint32_t tile_rows, WeightType type, uint64_t rows, uint64_t width) {
  if (layout == WeightLayout::file_blocks) return rows * file_row_bytes(type, width);
  const WeightBlock& block = weight_type_info(type).block;
  const uint32_t row_blocks = weight_row_blocks(static_cast<uint32_t>(width), block.elements);
  return ceil_div<uint64_t>(rows, tile_rows) * kWordBytes * weight_tile_words(block, tile_rows, row_blocks);
}

void pack_rows(WeightLayout layout, uint32_t tile_rows, WeightType type, uint32_t row_count, uint32_t width, std::span<const std::byte> file_rows,
               std::span<std::byte> packed) {
  if (layout == WeightLayout::file_blocks) {
    std::memcpy(packed.data(), file_rows.data(), file_rows.size());
    return;
  }
  const WeightBlock& block = weight_type_info(type).block;
  const uint32_t row_blocks = weight_row_blocks(width, block.elements);
  const size_t tile_bytes = size_t{kWordBytes} * weight_tile_words(block, tile_rows, row_blocks);
  const size_t row_bytes = static_cast<size_t>(file_row_bytes(type, width));
  std::memset(packed.data(), 0, packed.size());
  for (uint32_t r = 0; r < row_count; ++r)
    pack_row(block, tile_rows, row_blocks, r % tile_rows, file_rows.subspan(r * row_bytes, row_bytes), packed.data() + r / tile_rows * tile_bytes);
}

}  // namespace quire
