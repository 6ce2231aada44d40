// Neighbouring words, one a lane, loaded at an address that all lanes share. A processor's compiler makes one vector load of it (address_after).
// Kernels put LANES, all lanes of a subgroup, before the include.
#ifndef QUIRE_LANE_WORDS_GLSL
#define QUIRE_LANE_WORDS_GLSL

#include "shaders/common.glsl"

// The address of word `index`.
uvec2 word_address(uvec2 address, uint index) { return address_after(uvec2(address.x, address.y + (index >> 30)), index << 2); }

#ifdef SUBGROUP_BROADCAST
// Word i from address `first` on in lane i: of memory that the kernel only reads, and of memory that it writes, too.
#define WORD_OF_LANE(function, View)                             \
  uint function(uvec2 first) {                                   \
    View line = View(first);                                     \
    uint word = line.at[0];                                      \
    [[unroll]] for (uint lane = 1u; lane < LANES; ++lane) {      \
      const uint next = line.at[lane];                           \
      word = mix(word, next, gl_SubgroupInvocationID == lane);   \
    }                                                            \
    return word;                                                 \
  }
WORD_OF_LANE(word_of_lane, WordsIn)
WORD_OF_LANE(written_word_of_lane, Words)
#endif

#endif
