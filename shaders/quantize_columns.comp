#version 460
#extension GL_GOOGLE_include_directive : require
// quantize_columns: 8-bit codes of an activation, with a scale and two sums for each QUANTIZED_BLOCK elements of a column (kernel_args.h).
//
// In     args.src f32 activation [width][column_count].
// Out    args.dst quantized activation [width][column_count].
// Grid   x, y: blocks of a tile of columns; z: tiles. An invocation owns one block of one column; neighbours own the same block of neighbouring columns.
// Spec   workgroup, COLUMN_TILE.
// Sums   of codes, in integers. Scale, codes and sums are exact: the same on every device.
// Bytes  src once, dst once: 11 for 32.
#include "shaders/common.glsl"
#include "shaders/q8_code.glsl"
layout(constant_id = 1) const uint COLUMN_TILE = 16;
layout(push_constant) uniform Push { QuantizeColumnsArgs args; };

const uint INFINITY_BITS = 0x7f800000u;
const uint NAN_BITS = 0x7fc00000u;
const uint SMALLEST_EXPONENT = 32u;  // of a float's bits: 2^-95

// The bits of a block's scale, from those of its largest magnitude. In integers, because devices may round a division another way.
uint scale_of(uint largest) {
  if (largest >= INFINITY_BITS) return NAN_BITS;
  const uint exponent = largest >> 23;
  if (exponent < SMALLEST_EXPONENT) return 0u;
  const uint significand = ((largest & 0x007fffffu) | 0x00800000u) << 6;  // largest is this times 2^(exponent - 156)
  const uint divisor = 127u << 11;
  const uint steps = (significand + divisor - 1u) / divisor;  // 2065 to 4129, of 2^(exponent - 145) each
  return floatBitsToUint(float(steps)) + ((exponent - 145u) << 23);
}

void main() {
  const uint block_count = args.width / QUANTIZED_BLOCK;
  const uint index = linear_invocation();
  if (index >= block_count * COLUMN_TILE) return;
  const uint block = index / COLUMN_TILE;
  const uint column = gl_WorkGroupID.z * COLUMN_TILE + index % COLUMN_TILE;

  float x[QUANTIZED_BLOCK];
  uint largest = 0u;
  [[unroll]] for (uint i = 0u; i < QUANTIZED_BLOCK; ++i) {
    const uint bits = WordsIn(args.src).at[activation_index(block * QUANTIZED_BLOCK + i, column, args.width, COLUMN_TILE)];
    largest = max(largest, bits & 0x7fffffffu);
    x[i] = uintBitsToFloat(bits);
  }
  const uint scale_bits = scale_of(largest);
  const bool has_codes = scale_bits != 0u && scale_bits != NAN_BITS;
  const float scale = has_codes ? uintBitsToFloat(scale_bits) : 1.0;
  const float inverse = 1.0 / scale;

  ivec2 sum = ivec2(0);
  [[unroll]] for (uint word = 0u; word < QUANTIZED_BLOCK / 4u; ++word) {
    uint codes = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; ++i) {
      const uint code = has_codes ? q8_code(x[4u * word + i], scale, inverse) : 0u;
      codes |= code << (8u * i);
      sum[word / 4u] += bitfieldExtract(int(code), 0, 8);
    }
    Words(args.dst).at[quantized_index(block, word, column, args.width, COLUMN_TILE)] = codes;
  }
  Words(args.dst).at[quantized_index(block, QUANTIZED_SCALE_ROW, column, args.width, COLUMN_TILE)] = scale_bits;
  [[unroll]] for (uint i = 0u; i < 2u; ++i)
    Words(args.dst).at[quantized_index(block, QUANTIZED_SUM_ROW + i, column, args.width, COLUMN_TILE)] =
        has_codes ? floatBitsToUint(scale * float(sum[i])) : scale_bits;
}
