// The one place that knows which weight type a kernel is compiled for (-DWEIGHT_TYPE_<NAME>). Each type's file defines
//   GROUP_ELEMENTS       weights that unpack_group gives at once, a multiple of 4; a group never straddles blocks
//   GROUP_AFFINE         1: weight = scale * code + offset; 0: weight = code, and scale and offset are not to be used
//   kWeightBlock         the shape of its blocks (weight_tiles.h)
//   unpack_group()       the group of `lane`'s row in the tile that starts at `tile`
// Kernels put LANES, the height of a tile, before the include.
#ifndef QUIRE_WEIGHTS_GLSL
#define QUIRE_WEIGHTS_GLSL

#include "shaders/interface/weight_tiles.h"

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

const uint GROUP_QUADS = GROUP_ELEMENTS / 4u;

#endif
