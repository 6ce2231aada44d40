// How fast a device copies between its own buffers: what the traffic of kernels is compared with.
#pragma once

#include <cstdint>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"

namespace quire {

/// Bytes a second, those read plus those written, of the fastest of several rounds of copies of `size_bytes` between two new buffers.
/// Waits for the device, and takes twice `size_bytes` of its memory meanwhile.
/// On error: invalid_argument (size_bytes is 0, no multiple of 4 or larger than a buffer can be), out_of_device_memory, device_lost, timeout.
Result<double> measure_copy_rate(Device& device, uint64_t size_bytes);

}  // namespace quire
