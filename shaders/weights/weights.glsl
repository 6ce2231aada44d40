// Weights of one type, unpacked. The build (shaders/CMakeLists.txt) takes from the type's row in the manifest
//   WEIGHT_BLOCK       the shape of its blocks (weight_tiles.h)
//   GROUP_ELEMENTS     weights that are unpacked together; a group never straddles blocks
// and puts this file and then the type's own behind "weight_type.glsl". The type's file defines
//   GROUP_SCALES       pairs of scale and offset in a group, each of a run of 16 or 32 neighbours: weight = scale * code + offset; 0: weight = code
//   STEP_QUADS         a group is unpacked in steps of this many quads (four neighbouring weights); quad q of every step has scale q % GROUP_SCALES
//   quad_element()     the first element, within the row, of a step's quad
//   unpack_step()      the codes of a step of the row `row` rows after the one that starts at word `tile` (first_word). With scales in [1, 2) and of at most
//                      eight bits behind the point: matmul_int8 takes these bits out again; and a run, what shares a scale in a group, is sixteen
//                      neighbouring weights or 32, within one of the row's 32s
//   unpack_scales()    the group's scales and offsets (only where there are any)
// Kernels put TILE_ROWS, the height of a tile, before the include. A kernel of several types includes both files once a type, with typed_names.glsl.
#ifndef QUIRE_WEIGHTS_GLSL
#define QUIRE_WEIGHTS_GLSL

#include "shaders/interface/weight_tiles.h"
#include "shaders/lane_words.glsl"

struct GroupScale {
  float scale;
  float offset;
};

// How many rows after the first of a tile. Neighbours: lane i of the subgroup reads the row i rows after, so that uniform loads may bring the words of all.
struct RowAt {
  uint offset;
  bool neighbours;
};

// The word of row `row`, where that of the tile's first row is `after` words after word `first`. What several calls have in common belongs into `first`, what
// is constant into `after`: then they share one address.
uint row_word(WordsIn weights, uint first, uint after, RowAt row) {
#ifdef SUBGROUP_BROADCAST
  if (row.neighbours) return word_of_lane(address_after(uvec2(weights), 4u * first), after);
#endif
  return weights.at[first + after + row.offset];
}

// Word at which row `row` of a matrix starts; the rows after it in the same tile follow word by word.
uint first_word(uint row, uint tile_words) { return row / TILE_ROWS * tile_words + row % TILE_ROWS; }

// The word that lies where `word` does, `count` words further in every block.
uint words_further(uint word, uint count) { return word + count * TILE_ROWS; }

// A code becomes a float without a conversion: an n-bit code at the top of the mantissa of a number in [1, 2) makes it 1 + code / 2^n. The top bit of a
// mantissa is bit 22. A type's scale and offset take the constants off again.
vec4 in_mantissa(uvec4 codes) { return uintBitsToFloat(codes | 0x3f800000u); }

uint moved_left(uint word, int bits) { return bits >= 0 ? word << bits : word >> -bits; }
// Component i: byte i of a word with its bit 0 at bit `left` (other bits of the word around it are for the caller to mask off).
uvec4 each_byte(uint word, int left) { return uvec4(moved_left(word, left), moved_left(word, left - 8), moved_left(word, left - 16), moved_left(word, left - 24)); }
// The low four bits of a word, each in the lowest bit of a byte.
uint bits_to_bytes(uint word) { return (word & 15u) * 0x00204081u & 0x01010101u; }

// Of the type at hand.
#define STEP_ELEMENTS (4u * STEP_QUADS)
#define GROUP_STEPS (GROUP_ELEMENTS / STEP_ELEMENTS)

#endif

const WeightBlock kWeightBlock = WEIGHT_BLOCK;

// Word `word` of a block: where that is a constant, all words of the block share one address, and the two 16-bit values of a block that has two share it,
// too. What is none goes into `tile`, words_further() away.
uint block_word(WordsIn weights, uint tile, uint block, uint word, RowAt row) {
  if (kWeightBlock.halves == 2u)
    return row_word(weights, tile + weight_half_index(kWeightBlock, TILE_ROWS, 2u * block, 0u), weight_word_index(kWeightBlock, TILE_ROWS, 0u, word, 0u), row);
  return row_word(weights, tile + weight_word_index(kWeightBlock, TILE_ROWS, block, 0u, 0u), word * TILE_ROWS, row);
}

// The 16-bit values of a block that has two (the first in the low half), or the only one of a block that has one, as a number.
uint block_half_pair(WordsIn weights, uint tile, uint block, RowAt row) {
  return row_word(weights, tile + weight_half_index(kWeightBlock, TILE_ROWS, 2u * block, 0u), 0u, row);
}
float block_half(WordsIn weights, uint tile, uint block, RowAt row) {
  const vec2 pair = unpackHalf2x16(row_word(weights, tile + weight_half_index(kWeightBlock, TILE_ROWS, block, 0u), 0u, row));
  return (block & 1u) == 0u ? pair.x : pair.y;
}
