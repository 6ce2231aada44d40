// The checks that make a command safe to trust. Each answers invalid_argument with the value and the bound, and changes nothing.
#pragma once

#include "engine/base/result.hpp"
#include "engine/device/encoder.hpp"
#include "engine/device/limits.hpp"

namespace quire {

/// On error: unsupported (no such kernel or weight variant), invalid_argument (specialization constants).
Status check_kernel_variant(const KernelVariant& kernel, const Limits& limits);

/// Variant, argument size, number of bindings and grid.
Status check_dispatch_shape(const Dispatch& dispatch, const Limits& limits);

/// The slice lies in a buffer of `device` and begins at an address that is a multiple of 4. `what` and `kernel` name it in the error.
/// Requires: slice.buffer is not null.
Status check_slice(const BufferSlice& slice, const DeviceCore& device, std::string_view what, std::string_view kernel);

/// The same for one side of a copy or fill, whose size must be a multiple of 4 bytes as well. An empty slice is an error unless its size is 0.
Status check_transfer_slice(const BufferSlice& slice, const DeviceCore& device, std::string_view what, std::string_view command);

}  // namespace quire
