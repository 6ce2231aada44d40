// The block formats of model files (GGUF specification, ggml types), unpacked to floats one row at a time. Nothing here knows the kernels' tiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "engine/device/kernel_manifest.hpp"

namespace quire::reference {

/// A type's block in the file.
struct BlockFormat {
  WeightType type = WeightType::none;
  uint32_t elements = 0;
  uint32_t bytes = 0;
  std::optional<uint32_t> scale_offset;    ///< byte of the f16 that every weight of the block is a multiple of (before a minimum is added)
  std::optional<uint32_t> minimum_offset;  ///< byte of the f16 that the weights' minimums are multiples of
  void (*unpack)(const std::byte* block, float* values) = nullptr;  ///< one block; no alignment is assumed
};

/// Of none: a block of one weight without bytes, zero.
const BlockFormat& block_format(WeightType type);

/// Bytes of one row of `width` elements. Requires: width is a whole number of blocks.
uint64_t weight_row_bytes(WeightType type, uint64_t width);

/// Unpacks one row. Requires: `row` has weight_row_bytes(type, values.size()) bytes; no alignment is assumed.
void unpack_weight_row(WeightType type, const std::byte* row, std::span<float> values);

}  // namespace quire::reference
