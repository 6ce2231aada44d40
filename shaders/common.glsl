// What every kernel needs: buffer references (addresses are uvec2, so no 64-bit integers), the shared argument structs, and linear grids.
// Include after `#extension GL_GOOGLE_include_directive`.
#ifndef QUIRE_COMMON_GLSL
#define QUIRE_COMMON_GLSL

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_buffer_reference_uvec2 : require
#ifdef SUBGROUP_BROADCAST
#extension GL_KHR_shader_subgroup_ballot : require
#endif
#extension GL_EXT_control_flow_attributes : require

// A place in memory as a table holds it: an address that differs between lanes is loaded as one value, and not joined from two words.
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Bytes { uint word; };

#include "shaders/interface/kernel_args.h"

layout(local_size_x_id = 0) in;

// How other workgroups' writes of the same dispatch are seen: coherent in a kernel that waits for them, nothing elsewhere.
#ifndef MEMORY
#define MEMORY
#endif

// Views of memory at an address. `at[i]` is bounds-checked by nobody: the index must be right.
layout(buffer_reference, std430, buffer_reference_align = 4) MEMORY readonly buffer FloatsIn { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) MEMORY readonly buffer Floats4In { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) MEMORY buffer Floats { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) MEMORY buffer Floats4 { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) MEMORY readonly buffer WordsIn { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) MEMORY readonly buffer Words4In { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) MEMORY buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) MEMORY readonly buffer Words2In { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) MEMORY readonly buffer ColumnInfos { ColumnInfo at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) MEMORY readonly buffer SequenceInfos { SequenceInfo at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) MEMORY readonly buffer PageEntries { PageEntry at[]; };

// The address `bytes` further. From one that all lanes share and constant indices behind it, a processor's compiler makes one vector load of neighbours.
uvec2 address_after(uvec2 address, uint bytes) {
  uint carry;
  const uint low = uaddCarry(address.x, bytes, carry);
  return uvec2(low, address.y + carry);
}

// What a loop over indices below `end` loads at `index`. A processor's compiler leaves a loop at the end of a round that no lane took part in, and in that
// round, too, it executes loads whose address all lanes share: they stay within what there is.
uint index_to_load(uint index, uint end) { return min(index, max(end, 1u) - 1u); }

bool is_null(uvec2 address) { return address.x == 0u && address.y == 0u; }
bool is_null(Bytes place) { return is_null(uvec2(place)); }

// A grid longer than one dimension may be lies in x and y; the host rounds it up, so kernels compare with their own count.
uint linear_workgroup() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
uint linear_invocation() { return linear_workgroup() * gl_WorkGroupSize.x + gl_LocalInvocationID.x; }

#endif
