/* How a weight matrix lies in device memory when its layout is lane_tiles: the only place that does address arithmetic in it.
 * The host packs with it (engine/forward/weight_layout.cpp), kernels read with it.
 *
 * A tile is `tile_rows` consecutive rows; the last tile is padded with zero rows. Tiles follow each other. Inside a tile
 * are columns of 32-bit words, [word][row]: a lane owns a row, so neighbouring lanes read neighbouring words. From the first word of a row to its last:
 *   two 16-bit values to a word (the last may stand alone), and behind each such word the words of the blocks that the two belong to: of one block that
 *   has two 16-bit values, or of two that have one each. A block that has none is just its words.
 * So a row is read from its beginning to its end, in one stream: with the 16-bit values in a place of their own a processor's prefetch lost them.
 * A block is what the model file calls a block (for f32, f16 and bf16, which have none: as many weights as fill four words). Its bytes are not
 * changed: the file's block is `words_offset` bytes of 16-bit values, the words, and 16-bit values again up to its end. So blocks of 18 or 210 bytes
 * leave no holes, and a block's words are aligned. Which types there are, and the shapes of their blocks: kWeightTypes in
 * engine/device/kernel_manifest.cpp. What the words mean: shaders/weights/.
 * The last block of a row is padded with zero bytes where the row's width is no multiple of it. */
#ifndef QUIRE_WEIGHT_TILES_H
#define QUIRE_WEIGHT_TILES_H

#include "shaders/interface/shared_types.h"

#ifdef __cplusplus
namespace quire {
#endif

struct WeightBlock {
  uint32 elements;
  uint32 words;         /* of 32 bits */
  uint32 halves;        /* 16-bit values */
  uint32 words_offset;  /* bytes, in the file's block */
};

SHARED_FN uint32 weight_row_blocks(uint32 width, uint32 elements) { return (width + elements - 1u) / elements; }

/* Words of one tile. Fits 32 bits for every matrix that fits a buffer. */
SHARED_FN uint32 weight_tile_words(WeightBlock block, uint32 tile_rows, uint32 row_blocks) {
  return tile_rows * (row_blocks * block.words + (row_blocks * block.halves + 1u) / 2u);
}

/* Place, in words from the tile's start, of word `word` of block `index` in row `row` of the tile; one word further is the next row. */
SHARED_FN uint32 weight_word_index(WeightBlock block, uint32 tile_rows, uint32 index, uint32 word, uint32 row) {
  const uint32 half_words_before = block.halves == 0u ? 0u : index * block.halves / 2u + 1u;
  return (half_words_before + index * block.words + word) * tile_rows + row;
}

/* Place of the word that holds 16-bit value `number` (block index * block.halves + place within the block) of the row; even ones in its low
 * half. Blocks have two values at most. */
SHARED_FN uint32 weight_half_index(WeightBlock block, uint32 tile_rows, uint32 number, uint32 row) {
  const uint32 words_between = block.halves == 0u ? 0u : 2u * block.words / block.halves;
  return number / 2u * (words_between + 1u) * tile_rows + row;
}

#ifdef __cplusplus
}  // namespace quire
#endif
#endif
