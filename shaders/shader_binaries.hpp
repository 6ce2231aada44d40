// The compiled kernels.
#pragma once

#include <cstdint>
#include <span>

#include "engine/device/kernel_manifest.hpp"

namespace quire {

/// How a kernel's lanes get a value that all of them need. The results have the same bits.
enum class LaneExchange : uint8_t {
  none,       ///< each loads it: any device
  broadcast,  ///< one loads it and the subgroup hands it round: several times faster on software devices, whose lanes load one after another.
              ///< Requires: subgroup ballot operations, and subgroups of exactly the kernel's `lanes`
};

/// SPIR-V words of a kernel for a weight type (WeightType::none for kernels without weights); empty if there is no such build. Every kernel is built
/// without exchange, a few also with.
std::span<const uint32_t> shader_binary(KernelId kernel, WeightType weight, LaneExchange exchange);

}  // namespace quire
