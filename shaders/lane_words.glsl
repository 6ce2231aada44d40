// Neighbouring words, one a lane, loaded at an address that all lanes share. A processor's compiler makes one vector load of it (address_after).
// Kernels put LANES, all lanes of a subgroup, before the include.
#ifndef QUIRE_LANE_WORDS_GLSL
#define QUIRE_LANE_WORDS_GLSL

#include "shaders/common.glsl"

// The address of word `index`.
uvec2 word_address(uvec2 address, uint index) { return address_after(uvec2(address.x, address.y + (index >> 30)), index << 2); }

// Keeps the loads before it and after it in the order written. A processor's compiler would rather finish one sum before it begins the next: a chain of
// additions that each wait for the last, with the weights in memory meanwhile. It moves no load across a barrier.
void keep_load_order() { memoryBarrierBuffer(); }

#ifdef SUBGROUP_BROADCAST
// Word `after` + i from address `first` on in lane i: of memory that the kernel only reads, and of memory that it writes, too. A constant `after` costs no
// address of its own.
#define WORD_OF_LANE(function, View)                             \
  uint function(uvec2 first, uint after) {                       \
    View line = View(first);                                     \
    uint word = line.at[after];                                  \
    [[unroll]] for (uint lane = 1u; lane < LANES; ++lane) {      \
      const uint next = line.at[after + lane];                   \
      word = mix(word, next, gl_SubgroupInvocationID == lane);   \
    }                                                            \
    return word;                                                 \
  }
WORD_OF_LANE(word_of_lane, WordsIn)
WORD_OF_LANE(written_word_of_lane, Words)
#endif

#endif
