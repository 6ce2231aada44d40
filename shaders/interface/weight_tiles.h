/* How a weight matrix lies in device memory when its layout is lane_tiles: the only place that does address arithmetic in it.
 * The host packs with it (engine/forward/weight_layout.cpp), kernels read with it.
 *
 * A tile is `tile_rows` consecutive rows; the last tile is padded with zero rows. Tiles follow each other. Inside a tile:
 *   codes  [block][code dword][row]           one 32-bit word a row: a lane owns a row, so neighbouring lanes read neighbouring words
 *   scales [pair of 16-bit scales][row]       the scales of all blocks of a row, in order, two to a word (the last may stand alone)
 * A block is what the model file calls a block (for f32 and f16, which have none: as many weights as fill four words). Its bytes are not changed:
 * the file's block is CODE_OFFSET bytes of scales, 4 * CODE_DWORDS bytes of codes, and scales again up to its end.
 * The last block of a row is padded with zero bytes where the row's width is no multiple of it. */
#ifndef QUIRE_WEIGHT_TILES_H
#define QUIRE_WEIGHT_TILES_H

#include "shaders/interface/shared_types.h"

#ifdef __cplusplus
namespace quire {
#endif

/* elements of a block | words of codes | 16-bit scales | byte at which the codes start in the file's block */
#define WEIGHT_F32_ELEMENTS 4u
#define WEIGHT_F32_CODE_DWORDS 4u
#define WEIGHT_F32_SCALES 0u
#define WEIGHT_F32_CODE_OFFSET 0u

#define WEIGHT_F16_ELEMENTS 8u
#define WEIGHT_F16_CODE_DWORDS 4u
#define WEIGHT_F16_SCALES 0u
#define WEIGHT_F16_CODE_OFFSET 0u

#define WEIGHT_Q4_1_ELEMENTS 32u
#define WEIGHT_Q4_1_CODE_DWORDS 4u
#define WEIGHT_Q4_1_SCALES 2u
#define WEIGHT_Q4_1_CODE_OFFSET 4u

#define WEIGHT_Q8_0_ELEMENTS 32u
#define WEIGHT_Q8_0_CODE_DWORDS 8u
#define WEIGHT_Q8_0_SCALES 1u
#define WEIGHT_Q8_0_CODE_OFFSET 2u

struct WeightBlock {
  uint32 elements;
  uint32 code_dwords;
  uint32 scales;       /* 16-bit values */
  uint32 code_offset;  /* bytes, in the file's block */
};

SHARED_FN uint32 weight_row_blocks(uint32 width, uint32 elements) { return (width + elements - 1u) / elements; }

/* Words of one tile. Fits 32 bits for every matrix that fits a buffer. */
SHARED_FN uint32 weight_tile_dwords(WeightBlock block, uint32 tile_rows, uint32 row_blocks) {
  return tile_rows * (row_blocks * block.code_dwords + (row_blocks * block.scales + 1u) / 2u);
}

/* Word, from the tile's start, of code word `dword` of block `index` in row `row` of the tile; one word further is the next row. */
SHARED_FN uint32 weight_code_dword(WeightBlock block, uint32 tile_rows, uint32 index, uint32 dword, uint32 row) {
  return (index * block.code_dwords + dword) * tile_rows + row;
}

/* Word that holds 16-bit scale number `scale` (block index * block.scales + scale within the block) of the row; even ones in its low half. */
SHARED_FN uint32 weight_scale_dword(WeightBlock block, uint32 tile_rows, uint32 row_blocks, uint32 scale, uint32 row) {
  return (row_blocks * block.code_dwords + scale / 2u) * tile_rows + row;
}

#ifdef __cplusplus
}  // namespace quire
#endif
#endif
