// Kernels that treat each column by itself: embed_rows, rms_norm, head_norm, quantize_columns, gated_activation, gather_columns.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "engine/device/reference/reference_kernels.hpp"
#include "engine/device/reference/weight_blocks.hpp"

namespace quire::reference {

void embed_rows(const EmbedRowsArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  const uint64_t row_bytes = weight_row_bytes(kernel.weight, args.width);
  const auto* weights = host_pointer<const std::byte>(args.weights);
  const auto* columns = host_pointer<const ColumnInfo>(args.columns);
  auto* dst = host_pointer<float>(args.dst);
  std::vector<float> row(args.width);
  for (uint32_t n = 0; n < args.column_count; ++n) {
    const ColumnInfo& column = columns[n];
    if (column.sequence == PADDING_COLUMN) {
      if (args.row_begin == 0)
        for (uint32_t k = 0; k < args.width; ++k) dst[activation_index(k, n, args.width, column_tile)] = 0;
      continue;
    }
    if (column.token < args.row_begin || column.token - args.row_begin >= args.row_count) continue;
    unpack_weight_row(kernel.weight, weights + (column.token - args.row_begin) * row_bytes, row);
    for (uint32_t k = 0; k < args.width; ++k) dst[activation_index(k, n, args.width, column_tile)] = args.scale * row[k];
  }
}

void rms_norm(const RmsNormArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  const auto* src = host_pointer<const float>(args.src);
  const auto* weight = host_pointer<const float>(args.weight);
  const auto* residual = host_pointer<const float>(args.residual);
  auto* dst = host_pointer<float>(args.dst);
  for (uint32_t n = 0; n < args.column_count; ++n) {
    double sum = 0;
    for (uint32_t k = 0; k < args.width; ++k) {
      const double x = src[activation_index(k, n, args.width, column_tile)];
      sum += x * x;
    }
    const double factor = 1 / std::sqrt(sum / args.width + static_cast<double>(args.epsilon));
    for (uint32_t k = 0; k < args.width; ++k) {
      const uint32_t i = activation_index(k, n, args.width, column_tile);
      const double added = residual != nullptr ? static_cast<double>(residual[i]) : 0;
      dst[i] = static_cast<float>(static_cast<double>(src[i]) * static_cast<double>(weight[k]) * factor + added);
    }
  }
}

void head_norm(const HeadNormArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  auto* qkv = host_pointer<float>(args.qkv);
  for (uint32_t n = 0; n < args.column_count; ++n)
    for (uint32_t head = 0; head < args.q_heads + args.kv_heads; ++head) {
      const auto* weight = host_pointer<const float>(head < args.q_heads ? args.query_weight : args.key_weight);
      double sum = 0;
      for (uint32_t k = 0; k < args.k_dim; ++k) {
        const double x = qkv[activation_index(head * args.k_dim + k, n, args.width, column_tile)];
        sum += x * x;
      }
      const double factor = 1 / std::sqrt(sum / args.k_dim + static_cast<double>(args.epsilon));
      for (uint32_t k = 0; k < args.k_dim; ++k) {
        float& x = qkv[activation_index(head * args.k_dim + k, n, args.width, column_tile)];
        x = static_cast<float>(static_cast<double>(x) * static_cast<double>(weight[k]) * factor);
      }
    }
}

namespace {

/// A block of a quantized activation: as the rows of words of kernel_args.h, of one column.
using QuantizedBlock = std::array<uint32_t, QUANTIZED_BLOCK_WORDS>;

/// largest / 127, rounded up to a multiple of 2^-19 of the power of two above `largest`.
float quantized_scale(double largest) {
  if (!std::isfinite(largest)) return std::numeric_limits<float>::quiet_NaN();
  if (largest < 0x1p-95) return 0;
  int exponent = 0;
  std::frexp(largest, &exponent);
  const double step = std::ldexp(1.0, exponent - 19);
  return static_cast<float>(std::ceil(largest / 127 / step) * step);
}

QuantizedBlock quantize(const std::array<float, QUANTIZED_BLOCK>& values) {
  double largest = 0;
  for (const float value : values)
    largest = std::isnan(value) ? std::numeric_limits<double>::infinity() : std::max(largest, std::abs(static_cast<double>(value)));
  const float scale = quantized_scale(largest);
  const bool has_codes = scale > 0;
  std::array<int, 2> sums{};
  QuantizedBlock block{};
  for (uint32_t i = 0; i < QUANTIZED_BLOCK; ++i) {
    const int code = has_codes ? static_cast<int>(std::nearbyint(static_cast<double>(values[i]) / static_cast<double>(scale))) : 0;
    block[i / 4] |= static_cast<uint32_t>(code & 255) << 8 * (i % 4);
    sums[i / 16] += code;
  }
  block[QUANTIZED_SCALE_ROW] = std::bit_cast<uint32_t>(scale);
  for (uint32_t i = 0; i < sums.size(); ++i)
    block[QUANTIZED_SUM_ROW + i] = std::bit_cast<uint32_t>(has_codes ? scale * static_cast<float>(sums[i]) : scale);
  return block;
}

}  // namespace

void quantize_columns(const QuantizeColumnsArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  const auto* src = host_pointer<const float>(args.src);
  auto* dst = host_pointer<uint32_t>(args.dst);
  std::array<float, QUANTIZED_BLOCK> values{};
  for (uint32_t n = 0; n < args.column_count; ++n)
    for (uint32_t b = 0; b < args.width / QUANTIZED_BLOCK; ++b) {
      for (uint32_t i = 0; i < QUANTIZED_BLOCK; ++i) values[i] = src[activation_index(QUANTIZED_BLOCK * b + i, n, args.width, column_tile)];
      const QuantizedBlock block = quantize(values);
      for (uint32_t row = 0; row < block.size(); ++row) dst[quantized_index(b, row, n, args.width, column_tile)] = block[row];
    }
}

double gate_function(uint32_t function, double x) {
  // GELU's 1 + tanh(t) is 2 / (1 + exp(-2 t)), without the cancellation.
  const double slope = function == GATE_GELU ? 2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x) : x;
  return x / (1 + std::exp(-slope));
}

void gated_activation(const GatedActivationArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  const uint32_t function = spec_value(kernel, "function");
  const auto* gate_up = host_pointer<const float>(args.gate_up);
  auto* dst = host_pointer<float>(args.dst);
  for (uint32_t n = 0; n < args.column_count; ++n)
    for (uint32_t i = 0; i < args.width; ++i) {
      const double x = gate_up[activation_index(i, n, 2 * args.width, column_tile)];
      const double up = gate_up[activation_index(args.width + i, n, 2 * args.width, column_tile)];
      dst[activation_index(i, n, args.width, column_tile)] = static_cast<float>(gate_function(function, x) * up);
    }
}

void gather_columns(const GatherColumnsArgs& args, const KernelVariant& kernel) {
  const uint32_t column_tile = spec_value(kernel, "column_tile"), dst_column_tile = spec_value(kernel, "dst_column_tile");
  const auto* src = host_pointer<const float>(args.src);
  const auto* selection = host_pointer<const uint32_t>(args.selection);
  auto* dst = host_pointer<float>(args.dst);
  for (uint32_t n = 0; n < args.column_count; ++n)
    for (uint32_t k = 0; k < args.width; ++k)
      dst[activation_index(k, n, args.width, dst_column_tile)] = src[activation_index(k, selection[n], args.width, column_tile)];
}

}  // namespace quire::reference
