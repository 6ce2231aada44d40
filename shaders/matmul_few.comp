#version 460
#extension GL_GOOGLE_include_directive : require
// matmul_few: dst = W src (+ bias) (+ residual), or the gated product of its rows (MatmulArgs.gate), for one to COLUMNS columns at a time (the
// one-token family).
//
// In     args.weights [rows][width] in lane tiles; args.src f32 [column_count][width]; args.bias f32 [dst_width] or 0;
//        args.residual f32 [column_count][dst_width] or 0.
// Out    args.dst f32 [column_count][dst_width], rows [row_offset, row_offset + rows).
// Grid   x, y: rows / (LANES * TILES_PER_LANE); z: column_count / COLUMNS. A workgroup owns TILES_PER_LANE times LANES rows and COLUMNS columns; an
//        invocation owns every LANES-th of these rows and every K_PARTS-th group of weights in it, so that an activation loaded once serves all its rows.
//        With SUBGROUP_BROADCAST a subgroup is exactly the LANES invocations of a part.
//        Only then LANES_PER_LOAD may be LANES: what all lanes read, and the neighbouring words of theirs, is loaded at addresses that they share.
// Gate   an invocation's tiles are pairs: LANES rows of gate, and the same rows of up. TILES_PER_LANE is even then.
// Spec   workgroup = LANES * K_PARTS; TILE_ROWS, the height of a weight tile, is a multiple of LANES.
// Sums   f32, one a row and column: the codes under one scale in steps, and the activations under it by halving; then the scales of a group and groups in
//        order (each part every K_PARTS-th), then parts in order. The order depends on width, the weight type and K_PARTS alone.
// Bytes  weights once a COLUMNS columns; src once a workgroup (from the cache after the first).
#include "shaders/common.glsl"
layout(constant_id = 1) const uint LANES = 32;
layout(constant_id = 2) const uint COLUMNS = 1;
layout(constant_id = 3) const uint TILES_PER_LANE = 1;
layout(constant_id = 4) const uint K_PARTS = 1;
layout(constant_id = 5) const uint TILE_ROWS = 32;
layout(constant_id = 6) const uint LANES_PER_LOAD = 1;
#include "weight_type.glsl"
layout(push_constant) uniform Push { MatmulArgs matmul_few_args; };
#include "shaders/bodies/matmul_few.glsl"

void main() { matmul_few_body(linear_workgroup(), gl_WorkGroupID.z); }
