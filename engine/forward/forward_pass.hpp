// One model step in the order of the maths, recorded from named kernels. The file to read first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/forward/kernels.hpp"
#include "engine/forward/model_weights.hpp"
#include "engine/forward/scratch.hpp"
#include "engine/model/hyperparameters.hpp"

namespace quire {

/// Where each layer keeps its K and V, and what its attention sees.
struct LayerAttention {
  uint32_t group = 0;        ///< cache group
  AttentionShape shape;
  uint32_t rope_kind = 0;    ///< index into StepInput::rope
};

/// Columns that the last layer computes in full, on tiles of their own; of all others it computes queries, keys and values.
struct StepOutputs {
  uint32_t column_count = 0;                 ///< with padding; 0: no column is wanted
  BufferSlice sources;                       ///< uint32 [column_count]: indices of StepInput's columns
  BufferSlice columns;                       ///< ColumnInfo[column_count]
  std::span<const AttentionReads> attention_reads;  ///< per group: of the last layer
};

/// A step's inputs on the device: all columns of one family.
struct StepInput {
  uint32_t column_count = 0;                 ///< with padding
  uint32_t column_tile = 1;                  ///< 1: the one-token family
  BufferSlice columns;                       ///< ColumnInfo[column_count]
  std::span<const BufferSlice> sequences;    ///< per group: SequenceInfo[]
  std::span<const BufferSlice> rope;         ///< per rope kind: f32 [column_count][rope_dim / 2][2]
  std::span<const BufferSlice> pages;        ///< slabs and tables
  std::span<const AttentionReads> attention_reads;  ///< per group: of one layer
  std::span<const uint32_t> split_count;     ///< per group: splits of the longest column (one-token family)
  std::optional<StepOutputs> outputs;        ///< none: all columns
};

/// Records every layer; the result is the last layer's output, of `outputs` or else of all columns, before the final norm: an activation in one of the
/// scratch buffers; without columns where no output is wanted.
Result<Activation> record_layers(Recorder r, const Hyperparameters& hyper, const ModelWeights& weights, std::span<const LayerAttention> layers,
                                 const StepInput& input, Scratch& scratch);

/// Records final norm and logits of the columns in `selection` (uint32 [row_count], on the device) into `logits` (f32 [row_count][vocabulary]).
/// Requires: row_count <= kLogitRows.
Status record_logits(Recorder r, const Hyperparameters& hyper, const ModelWeights& weights, const Activation& hidden, BufferSlice selection,
                     uint32_t row_count, BufferSlice logits, Scratch& scratch);

}  // namespace quire
