// The file that keeps a device's tuned choices between processes, beside its pipeline cache.
//
// Text, a line each: "quire variants 1" | "device " name | "driver " name and version | "defaults " VariantSet::describe() | for each tuned field its name
// and value. A file counts only if it is, byte for byte, what would be written for this device, this driver, these defaults and values that are candidates.
#pragma once

#include <optional>
#include <string>

#include "engine/base/result.hpp"
#include "engine/device/limits.hpp"
#include "engine/forward/variant_set.hpp"

namespace quire {

/// `folder` + a name made of vendor, device, UUID and subgroup size: another driver of the same device replaces the file.
std::string variant_file_path(const std::string& folder, const DeviceInfo& device);

/// Nothing if there is no such file, or it is damaged or of another device, driver or build. Requires: `defaults` is choose_variants(device.limits).
std::optional<VariantSet> read_variant_file(const std::string& path, const DeviceInfo& device, const VariantSet& defaults);

/// On error: not_found (no such folder), io; what was there is as it was.
Status write_variant_file(const std::string& path, const DeviceInfo& device, const VariantSet& defaults, const VariantSet& tuned);

/// A mark beside that file: what it keeps was not measured to the end (TunedVariants::finished), in `tries` tries, 1 to 9. Taking it removes it and gives
/// their number, 0 without a mark.
Status mark_unfinished(const std::string& path, uint32_t tries);
uint32_t take_unfinished_mark(const std::string& path);

}  // namespace quire
