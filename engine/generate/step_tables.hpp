// The small tables a step reads on the device: its columns, their sequences, the RoPE angles and the columns whose output and logits are wanted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "engine/forward/scratch.hpp"
#include "engine/model/hyperparameters.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire {

/// Byte offsets in one device buffer that every step fills anew.
struct StepTableLayout {
  ScratchLayout::Range columns;                  ///< ColumnInfo[columns]
  std::vector<ScratchLayout::Range> sequences;   ///< per cache group: SequenceInfo[sequences]
  std::vector<ScratchLayout::Range> rope;        ///< per RoPE kind: f32 [columns][rope_dim / 2][2]
  ScratchLayout::Range output_columns;           ///< ColumnInfo[columns]
  ScratchLayout::Range output_sources;           ///< uint32 [columns]
  ScratchLayout::Range selection;                ///< uint32 [columns]
  ScratchLayout::Range argmax;                   ///< ArgmaxResult[columns]: written by the step
  uint64_t total_bytes = 0;
  static StepTableLayout plan(const Hyperparameters& hyper, uint32_t group_count, uint32_t columns);
};

struct StepTableBuffer {
  static Result<StepTableBuffer> create(Device& device, const Hyperparameters& hyper, uint32_t group_count, uint32_t columns);
  BufferSlice slice(const ScratchLayout::Range& range) const { return buffer.slice(range.offset_bytes, range.size_bytes); }
  /// The first `size_bytes` of a range.
  BufferSlice slice(const ScratchLayout::Range& range, uint64_t size_bytes) const { return buffer.slice(range.offset_bytes, size_bytes); }
  StepTableLayout layout;
  Buffer buffer;
};

/// cos and sin of every column's angles, times the magnitude, [column_count][pairs][2], computed in double precision.
std::vector<float> rope_angles(std::span<const ColumnInfo> columns, const RopeFrequencies& rope);

}  // namespace quire
