// The lanes of a workgroup that is one subgroup, where PAGE_LANES > 1. Kernels put it before the include.
#ifndef QUIRE_PAGE_LANES_GLSL
#define QUIRE_PAGE_LANES_GLSL

#include "shaders/common.glsl"

// An invocation's number in its workgroup. That of the subgroup is a constant vector to a processor's compiler; the other it divides out anew at every use.
uint own_lane() {
#ifdef SUBGROUP_BROADCAST
  if (PAGE_LANES > 1u) return gl_SubgroupInvocationID;
#endif
  return gl_LocalInvocationID.x;
}

#endif
