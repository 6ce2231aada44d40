// The kernels of activations and weights on one device; each result is the kernel's dst.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/conformance/support/columns.hpp"
#include "tests/conformance/support/outcome.hpp"
#include "tests/conformance/support/weight_memory.hpp"

namespace quire::conformance {

struct MatmulCase {
  TestMatrix matrix;
  std::vector<ColumnInfo> columns;
  uint32_t column_tile = 1;
  uint32_t row_offset = 0;
  uint32_t dst_width = 0;
  std::vector<float> src;
  std::vector<float> bias;      ///< empty, or [dst_width]: poison outside the rows
  std::vector<float> residual;  ///< empty, or like dst
  Arithmetic arithmetic = Arithmetic::float32;  ///< int8: parts whose weights have scales see src as codes only. Requires: column_tile > 1
};
Outcome run_matmul(TestDevice& device, const MatmulCase& c);

struct QuantizeCase {
  uint32_t width = 0;
  uint32_t column_tile = 16;
  std::vector<ColumnInfo> columns;
  std::vector<float> src;
};
/// The result is the quantized activation's words, as floats of the same bits.
Outcome run_quantize(TestDevice& device, const QuantizeCase& c);

enum class GateSteps : uint8_t {
  one,     ///< record_gated_matmul, which may not touch its memory for products
  two,     ///< record_matmul and record_gated_activation
  either,  ///< record_gated_matmul
};
struct GatedMatmulCase {
  TestMatrix matrix;  ///< rows of gate, then as many of up
  GateFunction function = GateFunction::silu;
  std::vector<ColumnInfo> columns;
  uint32_t column_tile = 1;
  std::vector<float> src;
  std::vector<float> bias;  ///< empty, or [matrix.rows]
};
Outcome run_gated_matmul(TestDevice& device, const GatedMatmulCase& c, GateSteps steps);

struct EmbedCase {
  TestMatrix table;
  std::vector<ColumnInfo> columns;
  uint32_t column_tile = 1;
  float scale = 1;
};
Outcome run_embed(TestDevice& device, const EmbedCase& c);

struct NormCase {
  uint32_t width = 0;
  uint32_t column_tile = 1;
  std::vector<ColumnInfo> columns;
  std::vector<float> src;
  std::vector<float> weight;
  std::vector<float> residual;  ///< empty, or like src
};
Outcome run_norm(TestDevice& device, const NormCase& c);

struct HeadNormCase {
  AttentionShape shape;
  uint32_t column_tile = 1;
  std::vector<ColumnInfo> columns;
  std::vector<float> qkv;
  std::vector<float> query_weight;
  std::vector<float> key_weight;
  uint32_t width() const { return shape.q_heads * shape.page.k_dim + shape.page.kv_heads * (shape.page.k_dim + shape.page.v_dim); }
};
/// The result is all of qkv, its V rows included.
Outcome run_head_norm(TestDevice& device, const HeadNormCase& c);

struct GatedCase {
  GateFunction function = GateFunction::silu;
  uint32_t width = 0;
  uint32_t column_tile = 1;
  std::vector<ColumnInfo> columns;
  std::vector<float> gate_up;
};
Outcome run_gated(TestDevice& device, const GatedCase& c);

struct GatherCase {
  uint32_t width = 0;
  uint32_t column_tile = 1;
  uint32_t src_columns = 0;
  std::vector<float> src;
  std::vector<uint32_t> selection;
  uint32_t dst_column_tile = 1;
};
Outcome run_gather(TestDevice& device, const GatherCase& c);

}  // namespace quire::conformance
