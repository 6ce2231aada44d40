#version 460
#extension GL_GOOGLE_include_directive : require
// attend_decode: attention of single queries over one split of their visible slots, unnormalised.
//
// In     args.q f32 [column_count][q_heads * k_dim]; args.columns; args.sequences; K and V through the sequence's pages.
// Out    args.partials f32 [column_count][q_heads][split_count][v_dim + 2]: sums of exp(score - m) V, then m, the largest score, then the sum of
//        exp(score - m). Splits past the column's slot and padding columns are not written.
// Grid   x: splits, counted from the column's first visible one; y: kv_heads * passes; z: columns. A workgroup owns one split for GROUP_HEADS query
//        heads that share a K/V head (fewer in the last pass). First an invocation owns whole keys, then pairs of dimensions.
// Spec   workgroup; SPLIT_SLOTS; GROUP_HEADS, query heads served by one reading of K and V; LANE_KEYS and LANE_PAIRS, keys and pairs of dimensions
//        that an invocation works on at once, so that a query or a weight loaded once serves several.
//        K_DIM and V_DIM, the elements of a row of K and V as constants: then the distance of rows is one, too.
//        PAGE_LANES: 1, or with SUBGROUP_BROADCAST workgroup = LANES, all lanes of a subgroup, which run in step: then loads bring the rows or words of all
//        of them. It is at least 4 then, and divides SPLIT_SLOTS, the slots of a page and PAGE_GROUP / 2; PAGE_LANES * LANE_PAIRS divides V_DIM / 2, and
//        LANE_PAIRS is a power of two; 16 divides K_DIM.
// Sums   f32. A score: pairs of eight elements in order; the weights' sum: an invocation's keys in order, then invocations in order; a dimension's sum:
//        slots in order. All are functions of the slot's index, the shape and the specialization.
// Bytes  K and V of the split once a pass; shared memory 4 * GROUP_HEADS * (SPLIT_SLOTS + 2 * workgroup).
#include "shaders/common.glsl"
layout(constant_id = 1) const uint SPLIT_SLOTS = 128;
layout(constant_id = 2) const uint GROUP_HEADS = 1;
layout(constant_id = 3) const uint LANE_KEYS = 1;
layout(constant_id = 4) const uint LANE_PAIRS = 1;
layout(constant_id = 5) const uint LANES = 1;
#ifdef SUBGROUP_BROADCAST
layout(constant_id = 6) const uint PAGE_LANES = 1;
#else
const uint PAGE_LANES = 1u;
#endif
layout(constant_id = 7) const uint K_DIM = 64;
layout(constant_id = 8) const uint V_DIM = 64;
layout(push_constant) uniform Push { AttendDecodeArgs attend_decode_args; };
#include "shaders/bodies/attend_decode.glsl"

void main() { attend_decode_body(gl_WorkGroupID); }
