// Neighbouring words, one a lane, loaded at an address that all lanes share. A processor's compiler makes one vector load of it (address_after).
// Kernels put LANES, all lanes of a subgroup, before the include.
#ifndef QUIRE_LANE_WORDS_GLSL
#define QUIRE_LANE_WORDS_GLSL

#include "shaders/common.glsl"

// The address of word `index`.
uvec2 word_address(uvec2 address, uint index) { return address_after(uvec2(address.x, address.y + (index >> 30)), index << 2); }

#ifdef SUBGROUP_BROADCAST
// Word i from address `first` on in lane i.
uint word_of_lane(uvec2 first) {
  WordsIn line = WordsIn(first);
  uint word = line.at[0];
  [[unroll]] for (uint lane = 1u; lane < LANES; ++lane) {
    const uint next = line.at[lane];
    word = mix(word, next, gl_SubgroupInvocationID == lane);
  }
  return word;
}

// The same of memory that the kernel writes, too.
uint written_word_of_lane(uvec2 first) {
  Words line = Words(first);
  uint word = line.at[0];
  [[unroll]] for (uint lane = 1u; lane < LANES; ++lane) {
    const uint next = line.at[lane];
    word = mix(word, next, gl_SubgroupInvocationID == lane);
  }
  return word;
}
#endif

#endif
