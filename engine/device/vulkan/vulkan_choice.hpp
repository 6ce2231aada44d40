// Which device an option names: a plain function over a list, so that it is tested without a driver.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "engine/base/result.hpp"
#include "engine/device/limits.hpp"

namespace quire {

/// Smaller is better: discrete, integrated, virtual, CPU, other; within a type a usable device comes before one that is not.
int device_rank(const DeviceInfo& device);

/// The index of the device that `select` names: empty for the best usable one, else an index, a UUID of 32 hexadecimal digits (dashes
/// allowed) or a part of a name, case-insensitive; the first match wins, usable ones first. A number beyond the list is taken as a part of a name.
/// Requires: `devices` is sorted by device_rank.
/// On error: not_found (nothing matches), unsupported (what matches is not usable; the message says why).
Result<size_t> choose_device(std::span<const DeviceInfo> devices, std::string_view select);

}  // namespace quire
