// What the kernels of a step depend on beside its tables. Seen by the files of engine/generate only.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

namespace quire {

/// Kernels that were recorded for one step of generated tokens suit all of its model's steps of the same shape: their arguments are equal.
struct StepShape {
  uint32_t column_count = 0;
  std::vector<uint32_t> split_count;  ///< per cache group
  uint32_t logits_count = 0;
  uint64_t logits_address = 0;        ///< of a session's own logits; 0: in scratch memory
  uint32_t slots_magnitude = 0;       ///< bits of the number of slots before and at its columns: of no argument, but of the work that a recording states
  auto operator<=>(const StepShape&) const = default;
};

}  // namespace quire
