// Kernels that treat each column by itself: embed_rows, rms_norm, head_norm, gated_activation, gather_columns.
#include <cmath>
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
  const uint32_t column_tile = spec_value(kernel, "column_tile");
  const auto* src = host_pointer<const float>(args.src);
  const auto* selection = host_pointer<const uint32_t>(args.selection);
  auto* dst = host_pointer<float>(args.dst);
  for (uint32_t n = 0; n < args.column_count; ++n)
    for (uint32_t k = 0; k < args.width; ++k)
      dst[activation_index(k, n, args.width, 1)] = src[activation_index(k, selection[n], args.width, column_tile)];
}

}  // namespace quire::reference
