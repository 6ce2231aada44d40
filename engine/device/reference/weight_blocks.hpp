// The block formats of model files (GGUF specification, ggml types), unpacked to floats one row at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/device/kernel_manifest.hpp"

namespace quire::reference {

/// 32 elements: value i = scale * nibble i + minimum. Byte j of `nibbles` holds element j (low half) and element j + 16 (high half).
struct BlockQ41 {
  uint16_t scale;    ///< f16
  uint16_t minimum;  ///< f16
  uint8_t nibbles[16];
};
static_assert(sizeof(BlockQ41) == 20);

/// 32 elements: value i = scale * codes[i].
struct BlockQ80 {
  uint16_t scale;  ///< f16
  int8_t codes[32];
};
static_assert(sizeof(BlockQ80) == 34);

/// Bytes of one row of `width` elements. Requires: width is a whole number of blocks.
uint64_t weight_row_bytes(WeightType type, uint64_t width);

/// Unpacks one row. Requires: `row` has weight_row_bytes(type, values.size()) bytes; no alignment is assumed.
void unpack_weight_row(WeightType type, const std::byte* row, std::span<float> values);

}  // namespace quire::reference
