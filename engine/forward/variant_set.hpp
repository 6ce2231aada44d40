// The tuning choices of one device, made once from its queried limits. Together with the device and driver they fix every rounding; those that
// change none may be timed (variant_tuning.hpp).
#pragma once

#include <cstdint>
#include <string>

#include "engine/device/limits.hpp"

namespace quire {

/// In what the many-token family multiplies weights that have scales: a model's choice, for it changes results by more than rounding.
enum class Arithmetic : uint8_t {
  float32,  ///< activations as they are
  int8,     ///< activations as 8-bit codes (quantize_columns), products in integers
};

struct VariantSet {
  WeightLayout weight_layout = WeightLayout::lane_tiles;
  uint32_t lanes = 32;                ///< rows side by side, one a lane
  uint32_t tile_rows = 32;            ///< height of a weight tile, a multiple of lanes
  uint32_t lanes_per_load = 1;        ///< of weights and pages: 1, or `lanes` where a subgroup is exactly that many and loads for all of them at once
  uint32_t many_column_tile = 16;     ///< activations of the many-token family are tiled by this many columns
  uint32_t many_tiles_per_lane = 1;
  uint32_t many_k_parts = 1;          ///< lanes that share one row's sum
  MatrixShape cooperative_shape;      ///< with which the many-token family multiplies; zeros: it does without
  uint32_t cooperative_subgroup = 0;  ///< lanes that share a cooperative matrix
  Arithmetic many_arithmetic = Arithmetic::float32;
  uint32_t few_tiles_per_lane = 1;
  uint32_t few_k_parts = 1;
  uint32_t few_max_columns = 8;       ///< columns one invocation accumulates at most; more columns take more workgroups
  uint32_t norm_workgroup = 64;
  uint32_t attend_prefill_workgroup = 16;  ///< = many_column_tile or a divisor of it: as many queries a lane as it goes into the tile
  uint32_t attend_decode_workgroup = 32;
  uint32_t split_slots = 128;         ///< slots of one split of attend_decode
  uint32_t elementwise_workgroup = 64;
  uint32_t search_workgroup = 128;    ///< argmax, sample
  uint32_t prompt_chunk = 256;        ///< prompt tokens of one step unless the caller says otherwise: enough columns to use every weight tile many times

  /// Whether a workgroup of matmul_many computes its tiles one after the other, not all at once: where lanes load together, in a processor's registers.
  bool many_in_turn() const { return lanes_per_load > 1 && many_tiles_per_lane > 1; }
  /// One line that names every choice, for logs and bench files.
  std::string describe() const;
};

/// Whether the device's lanes are the SIMD lanes of a processor, and its memory the processor's. Integrated GPUs may have subgroups as narrow.
bool computes_on_cpu(const Limits& limits);

/// A pure function of the limits: never of a name, never of a timing.
VariantSet choose_variants(const Limits& limits);

}  // namespace quire
