#version 460
#extension GL_GOOGLE_include_directive : require
// attend_merge: joins the splits of attend_decode, in index order, into the normalised result.
//
// In     args.partials f32 [column_count][q_heads][split_count][v_dim + 2] as attend_decode wrote them; args.columns.
// Out    args.dst f32 [column_count][q_heads * v_dim]; padding columns get zeros.
// Grid   x: elements of a head; y: query heads; z: columns. An invocation owns one element of dst.
// Spec   workgroup; SPLIT_SLOTS as in attend_decode; V_DIM, args.v_dim as a constant.
//        PAGE_LANES: 1, or with SUBGROUP_BROADCAST workgroup = LANES, all lanes of a subgroup, which divides V_DIM: then they load together.
// Sums   f32, splits in order.
// Bytes  the partials once (maxima and weights once an element, from the cache), dst once.
#include "shaders/common.glsl"
layout(constant_id = 1) const uint SPLIT_SLOTS = 128;
layout(constant_id = 2) const uint LANES = 1;
#ifdef SUBGROUP_BROADCAST
layout(constant_id = 3) const uint PAGE_LANES = 1;
#else
const uint PAGE_LANES = 1u;
#endif
layout(constant_id = 4) const uint V_DIM = 64;
layout(push_constant) uniform Push { AttendMergeArgs attend_merge_args; };
#include "shaders/bodies/attend_merge.glsl"

void main() { attend_merge_body(gl_WorkGroupID.x * gl_WorkGroupSize.x, gl_WorkGroupID.y, gl_WorkGroupID.z); }
