// The compiled kernels.
#pragma once

#include <cstdint>
#include <span>

#include "engine/device/kernel_manifest.hpp"

namespace quire {

/// SPIR-V words of a kernel for a weight type (WeightType::none for kernels without weights); empty if there is no such variant.
std::span<const uint32_t> shader_binary(KernelId kernel, WeightType weight);

}  // namespace quire
