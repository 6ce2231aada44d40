// How a weight matrix lies in device memory, and the lossless rearrangement from the model file's blocks to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/base/result.hpp"
#include "engine/device/kernel_manifest.hpp"
#include "engine/device/limits.hpp"

namespace quire {

/// Kernels count bytes from the start of a matrix, or of activations, in 32 bits.
constexpr uint64_t kMostAddressedBytes = UINT32_MAX;

/// Bytes of one row of `width` elements in the file. Requires: width is a multiple of the type's file_block_elements.
uint64_t file_row_bytes(WeightType type, uint64_t width);

/// Bytes of `rows` rows in the device's layout; lane_tiles pads rows to a multiple of `tile_rows`.
uint64_t packed_bytes(WeightLayout layout, uint32_t tile_rows, WeightType type, uint64_t rows, uint64_t width);

/// Rearranges `row_count` rows from file blocks. Requires: file_rows holds exactly row_count rows; packed has packed_bytes(...) bytes.
/// Padding rows and padding elements become zero.
void pack_rows(WeightLayout layout, uint32_t tile_rows, WeightType type, uint32_t row_count, uint32_t width, std::span<const std::byte> file_rows,
               std::span<std::byte> packed);

}  // namespace quire
