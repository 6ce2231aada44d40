// The one place that knows which weight type a kernel is compiled for (-DWEIGHT_TYPE_<NAME>). Each type's file defines
//   GROUP_ELEMENTS     weights that share one scale and offset; a group never straddles blocks
//   STEP_QUADS         a group is unpacked in steps of this many quads (four neighbouring weights)
//   GROUP_AFFINE       1: weight = scale * code + offset; 0: weight = code
//   kWeightBlock       the shape of its blocks (weight_tiles.h)
//   quad_element()     the first element, within the group, of a step's quad
//   unpack_step()      the codes of a step of the row `lane` rows after the one that starts at word `tile` (first_word)
//   unpack_scale()     the group's scale and offset (only where GROUP_AFFINE)
// Kernels put TILE_ROWS, the height of a tile, before the include.
#ifndef QUIRE_WEIGHTS_GLSL
#define QUIRE_WEIGHTS_GLSL

#include "shaders/interface/weight_tiles.h"

struct GroupScale {
  float scale;
  float offset;
};

#if defined(WEIGHT_TYPE_F32)
#include "shaders/weights/f32.glsl"
#elif defined(WEIGHT_TYPE_F16)
#include "shaders/weights/f16.glsl"
#elif defined(WEIGHT_TYPE_Q4_1)
#include "shaders/weights/q4_1.glsl"
#elif defined(WEIGHT_TYPE_Q8_0)
#include "shaders/weights/q8_0.glsl"
#else
#error "compile with -DWEIGHT_TYPE_<NAME>"
#endif

// Word at which row `row` of a matrix starts; the rows after it in the same tile follow word by word.
uint first_word(uint row, uint tile_dwords) { return row / TILE_ROWS * tile_dwords + row % TILE_ROWS; }

const uint STEP_ELEMENTS = 4u * STEP_QUADS;
const uint GROUP_STEPS = GROUP_ELEMENTS / STEP_ELEMENTS;

#endif
