// matmul_many, matmul_int8, matmul_cooperative and matmul_few: one sum, three shapes of activations, with and without a gate.
#include <bit>
#include <vector>

#include "engine/device/reference/reference_kernels.hpp"
#include "engine/device/reference/weight_blocks.hpp"

namespace quire::reference {
namespace {

/// A quantized activation as the numbers that its codes stand for.
std::vector<float> unpack_columns(const uint32_t* src, uint32_t width, uint32_t column_count, uint32_t column_tile) {
  std::vector<float> values(uint64_t{width} * column_count);
  for (uint32_t n = 0; n < column_count; ++n)
    for (uint32_t k = 0; k < width; ++k) {
      const uint32_t block = k / QUANTIZED_BLOCK;
      const uint32_t word = src[quantized_index(block, k % QUANTIZED_BLOCK / 4, n, width, column_tile)];
      const auto code = static_cast<int8_t>(word >> 8 * (k % 4));
      const auto scale = std::bit_cast<float>(src[quantized_index(block, QUANTIZED_SCALE_ROW, n, width, column_tile)]);
      values[activation_index(k, n, width, column_tile)] = scale * static_cast<float>(code);
    }
  return values;
}

/// The product of one row of weights with column n.
double dot(const std::vector<float>& row, const float* src, uint32_t n, uint32_t column_tile) {
  const auto width = static_cast<uint32_t>(row.size());
  double sum = 0;
  for (uint32_t k = 0; k < width; ++k) sum += static_cast<double>(row[k]) * static_cast<double>(src[activation_index(k, n, width, column_tile)]);
  return sum;
}

/// Rows of gate, then as many of up.
void gated_matmul(const MatmulArgs& args, WeightType type, uint32_t column_tile) {
  const uint64_t row_bytes = weight_row_bytes(type, args.width);
  const auto* weights = host_pointer<const std::byte>(args.weights);
  const auto* src = host_pointer<const float>(args.src);
  const auto* bias = host_pointer<const float>(args.bias);
  auto* dst = host_pointer<float>(args.dst);
  const uint32_t count = args.rows / 2;
  const uint32_t function = args.gate == MATMUL_GATED(GATE_GELU) ? GATE_GELU : GATE_SILU;
  std::vector<float> gate_row(args.width), up_row(args.width);
  for (uint32_t i = 0; i < count; ++i) {
    unpack_weight_row(type, weights + i * row_bytes, gate_row);
    unpack_weight_row(type, weights + (uint64_t{count} + i) * row_bytes, up_row);
    for (uint32_t n = 0; n < args.column_count; ++n) {
      double gate = dot(gate_row, src, n, column_tile);
      double up = dot(up_row, src, n, column_tile);
      if (bias) {
        gate += static_cast<double>(bias[i]);
        up += static_cast<double>(bias[count + i]);
      }
      dst[activation_index(i, n, args.dst_width, column_tile)] = static_cast<float>(gate_function(function, gate) * up);
    }
  }
}

void matmul(const MatmulArgs& args, WeightType type, uint32_t column_tile) {
  if (args.gate != MATMUL_PLAIN) return gated_matmul(args, type, column_tile);
  const uint64_t row_bytes = weight_row_bytes(type, args.width);
  const auto* weights = host_pointer<const std::byte>(args.weights);
  const auto* src = host_pointer<const float>(args.src);
  const auto* bias = host_pointer<const float>(args.bias);
  const auto* residual = host_pointer<const float>(args.residual);
  auto* dst = host_pointer<float>(args.dst);
  std::vector<float> row(args.width);
  for (uint32_t r = 0; r < args.rows; ++r) {
    unpack_weight_row(type, weights + r * row_bytes, row);
    const uint32_t out_row = args.row_offset + r;
    for (uint32_t n = 0; n < args.column_count; ++n) {
      double sum = dot(row, src, n, column_tile);
      const uint32_t i = activation_index(out_row, n, args.dst_width, column_tile);
      if (bias) sum += static_cast<double>(bias[out_row]);
      if (residual) sum += static_cast<double>(residual[i]);
      dst[i] = static_cast<float>(sum);
    }
  }
}

}  // namespace

void matmul_many(const MatmulArgs& args, const KernelVariant& kernel) { matmul(args, kernel.weight, spec_value(kernel, "column_tile")); }

void matmul_int8(const MatmulArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  const std::vector<float> src = unpack_columns(host_pointer<const uint32_t>(args.src), args.width, args.column_count, column_tile);
  MatmulArgs unpacked = args;
  unpacked.src = reinterpret_cast<uintptr_t>(src.data());
  matmul(unpacked, kernel.weight, column_tile);
}

void matmul_cooperative(const MatmulArgs& args, const KernelVariant& kernel) { matmul(args, kernel.weight, MATMUL_COOPERATIVE_COLUMN_TILE); }

void matmul_few(const MatmulArgs& args, const KernelVariant& kernel) { matmul(args, kernel.weight, 1); }

}  // namespace quire::reference
