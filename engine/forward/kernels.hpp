// record_<kernel>(): one function a kernel. Takes activations and weights, checks their shapes, and records the dispatches; the only place where
// grids, specialization constants and argument structs are put together.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "engine/forward/persistent_program.hpp"
#include "engine/forward/variant_set.hpp"
#include "engine/model/hyperparameters.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire {

/// f32 [width][column_count] in tiles of column_tile columns (kernel_args.h). column_tile 1 is the one-token family.
struct Activation {
  BufferSlice slice;
  uint32_t width = 0;
  uint32_t column_count = 0;   ///< a multiple of column_tile: padding columns count
  uint32_t column_tile = 1;
  BufferSlice codes = {};      ///< what record_quantize_columns made of it; empty: products read the floats
  static uint64_t bytes(uint64_t width, uint64_t column_count) { return 4 * width * column_count; }
  static uint64_t code_bytes(uint64_t width, uint64_t column_count) { return 4 * QUANTIZED_BLOCK_WORDS * (width / QUANTIZED_BLOCK) * column_count; }
};

/// Consecutive rows of one matrix that lie in one buffer and have one type.
struct WeightPart {
  WeightType type = WeightType::none;
  BufferSlice slice;
  uint32_t row_begin = 0;
  uint32_t row_count = 0;
};

/// A matrix [rows][width] in one or more parts: more when types differ (Q, K, V stacked) or when it is larger than one buffer may be.
struct WeightMatrix {
  uint32_t rows = 0;
  uint32_t width = 0;
  std::vector<WeightPart> parts;   ///< ordered, without gaps
};

/// What attention needs to know of one layer's pages, fixed for a model.
struct AttentionShape {
  PageShape page;            ///< of the layer's cache group
  uint32_t layer = 0;        ///< within the group
  uint32_t q_heads = 0;
  uint32_t window = 0;       ///< 0: none
  float scale = 0;           ///< usually 1 / sqrt(k_dim)
};

/// What attention of one layer reads in a step: only for the work that its commands state.
struct AttentionReads {
  uint64_t slots = 0;        ///< that queries see, summed over the step's columns
  uint64_t bytes = 0;        ///< of K and V of all heads in slots that a tile of columns sees, summed over the tiles
};

/// The step's tables on the device.
struct StepTables {
  BufferSlice columns;       ///< ColumnInfo[column_count]
  BufferSlice sequences;     ///< SequenceInfo[] of the layer's group
  std::span<const BufferSlice> pages;  ///< all memory that the tables' pages may lie in (slabs)
  AttentionReads reads;
};

struct Recorder {
  Encoder& encoder;
  const VariantSet& variants;
};

Status record_embed_rows(Recorder r, const WeightMatrix& table, BufferSlice columns, const Activation& dst, float scale);
/// `residual` (like dst) is added to the result; it may be empty.
Status record_rms_norm(Recorder r, const Activation& src, BufferSlice weight, float epsilon, const Activation& dst, BufferSlice residual = {});
/// codes (Activation::code_bytes) receives src as 8-bit codes. Requires: src.column_tile > 1. On error: invalid_argument (width no multiple of 32).
Status record_quantize_columns(Recorder r, const Activation& src, BufferSlice codes);
/// dst = W src (+ bias) (+ residual). Chooses matmul_many (or matmul_cooperative) or matmul_few by src.column_tile; one dispatch a part. Parts whose
/// weights have scales take matmul_int8 if src has codes.
/// `bias` (f32 [dst.width]) and `residual` may be empty. dst rows [row_offset, row_offset + W.rows) are written.
Status record_matmul(Recorder r, const WeightMatrix& weights, const Activation& src, const Activation& dst, uint32_t row_offset = 0,
                     BufferSlice bias = {}, BufferSlice residual = {});
/// dst[i, n] = function(gate[i, n] (+ bias[i])) * (up[i, n] (+ bias[F + i])) with F = dst.width; gate_up: [2 F][src.width], rows of gate, then of up. One
/// dispatch where that is possible, then `products` is not touched; else record_matmul into `products` ([2 F][column_count]) and record_gated_activation.
/// The results' bits are the same. `bias` (f32 [2 F]) may be empty.
Status record_gated_matmul(Recorder r, const WeightMatrix& gate_up, const Activation& src, GateFunction function, BufferSlice bias, const Activation& products,
                           const Activation& dst);
/// Norms every head of Q and of K in place. Weights: f32 [k_dim].
Status record_head_norm(Recorder r, const Activation& qkv, const AttentionShape& shape, BufferSlice query_weight, BufferSlice key_weight, float epsilon);
/// rope: f32 [column_count][rope_dim / 2][2] (cos, sin).
Status record_rope_page_write(Recorder r, const Activation& qkv, BufferSlice rope, uint32_t rope_dim, RopeOrder order, const AttentionShape& shape,
                              const StepTables& tables, const Activation& q);
/// Requires: q.column_tile > 1 (tables' columns tile by tile of one sequence).
Status record_attend_prefill(Recorder r, const Activation& q, const AttentionShape& shape, const StepTables& tables, const Activation& dst);
/// Bytes of the partials for attend_decode. split_count as split_count_for gives it for the longest column.
uint64_t attend_partials_bytes(uint32_t column_count, uint32_t q_heads, uint32_t v_dim, uint32_t split_count);
/// Splits that a query at `slot` needs: from the split of its first visible slot to its own.
uint32_t split_count_for(const VariantSet& variants, uint32_t slot, uint32_t window);
Status record_attend_decode(Recorder r, const Activation& q, const AttentionShape& shape, const StepTables& tables, uint32_t split_count,
                            BufferSlice partials);
Status record_attend_merge(Recorder r, BufferSlice partials, uint32_t split_count, const AttentionShape& shape, BufferSlice columns,
                           const Activation& dst);
Status record_gated_activation(Recorder r, const Activation& gate_up, GateFunction function, const Activation& dst);
/// selection: uint32 [dst.column_count], indices of src columns.
Status record_gather_columns(Recorder r, const Activation& src, BufferSlice selection, const Activation& dst);
/// logits: column_tile 1; results: ArgmaxResult[column_count].
Status record_argmax(Recorder r, const Activation& logits, BufferSlice results);
/// logits: column_tile 1; rows: SamplingRow[column_count]; results: SampleResult[column_count].
Status record_sample(Recorder r, const Activation& logits, BufferSlice rows, BufferSlice results);

/// How persistent_step runs.
struct PersistentRun {
  BufferSlice progress;      ///< progress_bytes() of the program, zero when the dispatch begins
  uint32_t worker_count = 0; ///< workgroups: as many as the device runs at the same time
  uint32_t spin_bound = 0;   ///< reads of memory at one wait, at most
};
/// Carries out a program. `accesses` is what its operations read and write.
Status record_persistent_step(Recorder r, const PersistentProgram& program, const PersistentRun& run, std::span<const Access> accesses, Work work);

}  // namespace quire
