// What unpack_group gives, for all weight types.
#ifndef QUIRE_WEIGHT_GROUP_GLSL
#define QUIRE_WEIGHT_GROUP_GLSL

struct WeightGroup {
  vec4 code[GROUP_ELEMENTS / 4];
  float scale;
  float offset;
};

#endif
