#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
// matmul_int8: dst = W src (+ bias) (+ residual) for tiles of COLUMN_TILE columns, where src is 8-bit codes and W is of a type whose weights are codes with
// a scale for some neighbouring ones (the many-token family).
//
// In     args.weights [rows][width] in lane tiles; args.src quantized activation [width][column_count] (quantize_columns); args.bias f32 [dst_width] or 0;
//        args.residual f32 activation [dst_width][column_count] or 0.
// Out    args.dst f32 activation [dst_width][column_count], rows [row_offset, row_offset + rows).
// Grid   x, y: rows / (LANES * TILES_PER_LANE); z: column tiles. A workgroup owns TILES_PER_LANE times LANES rows and one tile of columns; an invocation
//        owns every LANES-th of these rows, unpacks a weight once and uses it for all columns of the tile.
// Spec   workgroup = LANES; TILE_ROWS, the height of a weight tile, is a multiple of LANES; COLUMN_TILE a multiple of 4.
// Sums   a run is the weights of a group that share a scale: sixteen or 32, within one block of src. Its products of codes are summed in integers, exactly;
//        these sums are added in f32, run after run, the same for every column, whatever its place in the tile and its neighbours.
// Bytes  weights once a column tile; src, 11 for 32 elements, once a workgroup (from the cache after the first).
#include "shaders/common.glsl"
layout(constant_id = 1) const uint LANES = 32;
layout(constant_id = 2) const uint COLUMN_TILE = 16;
layout(constant_id = 3) const uint TILES_PER_LANE = 1;
layout(constant_id = 4) const uint TILE_ROWS = 32;
#include "weight_type.glsl"
#include "shaders/matmul_rows.glsl"

layout(push_constant) uniform Push { MatmulArgs args; };

// OpSDot of SPV_KHR_integer_dot_product with the capabilities DotProductInput4x8BitPacked and DotProduct: the sum of the products of four signed bytes.
// Compilers that know GL_EXT_integer_dot_product are younger than some that build this.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int dot_of_bytes(int a, int b, spirv_literal int packed_format);
const int PACKED_4X8 = 0;

const uint QUADS = COLUMN_TILE / 4u;
const uint SUMS = TILES_PER_LANE * QUADS;
const uint GROUP_QUADS = GROUP_ELEMENTS / 4u;
const uint RUN_QUADS = GROUP_QUADS / GROUP_SCALES;
const uint RUN_QUADS_OF_STEP = STEP_QUADS / GROUP_SCALES;

// Unpacked codes are 1 + b / 256 with b in 0..255 at the top of the mantissa. With its top bit flipped b is the signed byte b - 128, and
// weight = scale * (1 + b / 256) + offset = scale / 256 * (b - 128) + (1.5 * scale + offset).
int signed_bytes_of(vec4 code) {
  const uvec4 bits = floatBitsToUint(code);
  return int((bits.x >> 15 & 0xffu | bits.y >> 7 & 0xff00u | bits.z << 1 & 0xff0000u | bits.w << 9) ^ 0x80808080u);
}

void add_run(float scale, float offset, ivec4 dots, vec4 x_scale, vec4 x_sum, inout vec4 sum) {
  precise const vec4 scaled = fma(vec4(scale) * x_scale, vec4(dots), sum);
  precise const vec4 next = fma(vec4(offset), x_sum, scaled);
  sum = next;
}

void store(uint row, uint quad, vec4 sum) {
  const uint at = (gl_WorkGroupID.z * args.dst_width + args.row_offset + row) * QUADS + quad;
  precise vec4 value = sum;
  if (!is_null(args.bias)) value += vec4(FloatsIn(args.bias).at[args.row_offset + row]);
  if (!is_null(args.residual)) value += Floats4In(args.residual).at[at];
  Floats4(args.dst).at[at] = value;
}

void main() {
  const uint lane = gl_LocalInvocationID.x;
  const uint tile_count = (args.rows + LANES - 1u) / LANES;
  const uint first_tile = linear_workgroup() * TILES_PER_LANE;
  if (first_tile >= tile_count) return;

  WordsIn weights = WordsIn(args.weights);
  const uint tile_words = weight_tile_words(kWeightBlock, TILE_ROWS, weight_row_blocks(args.width, kWeightBlock.elements));
  uint tile[TILES_PER_LANE];
  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) tile[r] = first_word(first_row(first_tile + r, args.rows, MATMUL_PLAIN), tile_words);
  vec4 sum[SUMS];
  [[unroll]] for (uint i = 0u; i < SUMS; ++i) sum[i] = vec4(0.0);

  const uint groups = args.width / GROUP_ELEMENTS;
  for (uint at = 0u; at < groups; ++at) {
    const uint group = index_to_load(at, groups);
    GroupScale group_scale[TILES_PER_LANE][GROUP_SCALES];
    int bytes[TILES_PER_LANE][GROUP_QUADS];
    [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
      unpack_scales(weights, tile[r], group, RowAt(lane, false), group_scale[r]);
      [[unroll]] for (uint step = 0u; step < GROUP_STEPS; ++step) {
        vec4 code[STEP_QUADS];
        unpack_step(weights, tile[r], group, step, RowAt(lane, false), code);
        [[unroll]] for (uint q = 0u; q < STEP_QUADS; ++q) bytes[r][step * STEP_QUADS + q] = signed_bytes_of(code[q]);
      }
    }
    [[unroll]] for (uint run = 0u; run < GROUP_SCALES; ++run) {
      const uint first_element = quad_element(group, 0u, run);
      const uint block = first_element / QUANTIZED_BLOCK;
      const uvec2 src = address_after(args.src, 4u * quantized_index(block, 0u, gl_WorkGroupID.z * COLUMN_TILE, args.width, COLUMN_TILE));
      float scale[TILES_PER_LANE], offset[TILES_PER_LANE];
      [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
        scale[r] = group_scale[r][run].scale / 256.0;
        offset[r] = fma(1.5, group_scale[r][run].scale, group_scale[r][run].offset);
      }
      [[unroll]] for (uint quad = 0u; quad < QUADS; ++quad) {
        ivec4 dots[TILES_PER_LANE];
        [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) dots[r] = ivec4(0);
        [[unroll]] for (uint i = 0u; i < RUN_QUADS; ++i) {
          const uint step = i / RUN_QUADS_OF_STEP, step_quad = run + GROUP_SCALES * (i % RUN_QUADS_OF_STEP);
          const uint row = quad_element(group, step, step_quad) % QUANTIZED_BLOCK / 4u;
          const ivec4 x = ivec4(Words4In(src).at[row * QUADS + quad]);
          [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r)
            [[unroll]] for (uint c = 0u; c < 4u; ++c) dots[r][c] += dot_of_bytes(bytes[r][step * STEP_QUADS + step_quad], x[c], PACKED_4X8);
        }
        const vec4 x_scale = Floats4In(src).at[QUANTIZED_SCALE_ROW * QUADS + quad];
        // A run of 32 is a whole block, one of sixteen a half of it.
        precise vec4 x_sum = Floats4In(src).at[(QUANTIZED_SUM_ROW + (RUN_QUADS == 4u ? first_element / 16u % 2u : 0u)) * QUADS + quad];
        if (RUN_QUADS == 8u) x_sum += Floats4In(src).at[(QUANTIZED_SUM_ROW + 1u) * QUADS + quad];
        [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) add_run(scale[r], offset[r], dots[r], x_scale, x_sum, sum[r * QUADS + quad]);
      }
    }
  }

  [[unroll]] for (uint r = 0u; r < TILES_PER_LANE; ++r) {
    const uint row = (first_tile + r) * LANES + lane;
    if (row >= args.rows) continue;
    [[unroll]] for (uint quad = 0u; quad < QUADS; ++quad) store(row, quad, sum[r * QUADS + quad]);
  }
}
