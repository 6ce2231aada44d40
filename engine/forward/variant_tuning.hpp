// The choices of a VariantSet that change no bit of any result: only among them may timing pick, so that a tuned device computes what an untuned
// one does. All others follow from the device's limits.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "engine/forward/variant_set.hpp"

namespace quire {

struct TunedField {
  const char* name;
  uint32_t VariantSet::*value;
};
std::span<const TunedField> tuned_fields();

/// What `field` may be on a device, the default first. Requires: `defaults` is what choose_variants gave for `limits`.
std::vector<uint32_t> tuning_candidates(const TunedField& field, const VariantSet& defaults, const Limits& limits);

/// Called between measurements with how many are done; false ends tuning (Code::cancelled).
using TuningProgress = std::function<bool(uint64_t done, uint64_t total)>;

struct TunedVariants {
  VariantSet variants;
  bool finished = true;  ///< false: time ran out, so that some fields have their defaults unmeasured
};

/// Times the candidates of each field in turn with made-up weights, about three seconds at most: no measurement begins after 2.2 s, and what is left is for
/// the kernels that one may have to compile. A field that the time does not reach keeps its default, and so does one whose best candidate gains less than
/// noise. Kernels that were measured stay compiled, so that another try gets further. Takes up to 64 MiB of device memory meanwhile.
/// On error: cancelled, device_lost, timeout, out_of_*_memory.
Result<TunedVariants> tune_variants(Device& device, const VariantSet& defaults, const TuningProgress& progress);

}  // namespace quire
