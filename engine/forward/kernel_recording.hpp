// What the record_<kernel> functions share: checks of activations and slices, grids, and the call to the encoder. Visible in engine/forward only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "engine/base/checked.hpp"
#include "engine/forward/kernels.hpp"

namespace quire {

/// The first `bytes` of a slice: kernels get exactly what they touch. On error: invalid_argument, naming `what`.
Result<BufferSlice> first_bytes(BufferSlice slice, uint64_t bytes, const char* what);
/// An activation's slice. On error: invalid_argument (no columns or width, columns no multiple of the tile, a slice too small or not aligned to 16).
Result<BufferSlice> activation_slice(const Activation& activation, const char* what);
Status expect_equal(uint64_t value, uint64_t expected, const char* what);
/// Page shape, heads and layer. On error: invalid_argument, naming the value.
Status check_attention_shape(const AttentionShape& shape);

/// A one-dimensional grid of `count` workgroups, folded into x and y where it is longer than a dimension may be (Vulkan's minimum).
std::array<uint32_t, 3> linear_grid(uint64_t count, uint32_t z = 1);

/// `args` with the addresses that the encoder fills in from `bindings`.
template <class Args>
Status record(Recorder r, const KernelVariant& kernel, const Args& args, std::initializer_list<BufferSlice> bindings, std::array<uint32_t, 3> groups,
              Work work, std::span<const Access> indirect = {}) {
  return r.encoder.dispatch({.kernel = kernel,
                             .args = std::as_bytes(std::span(&args, 1)),
                             .bindings = std::span(bindings.begin(), bindings.size()),
                             .indirect = indirect,
                             .groups = groups,
                             .work = work});
}

}  // namespace quire
