#include "engine/device/hazard_tracker.hpp"

#include <algorithm>

namespace quire {

bool HazardTracker::conflicts(const Range& range) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& earlier) {
    return earlier.buffer == range.buffer && (earlier.written || range.written) && earlier.begin < range.end && range.begin < earlier.end;
  });
}

// Ranges of one kind that overlap or touch become one, so that the list stays short where many commands walk through a buffer.
void HazardTracker::insert(const Range& range) {
  for (Range& earlier : ranges_) {
    if (earlier.buffer != range.buffer || earlier.written != range.written || range.begin > earlier.end || earlier.begin > range.end) continue;
    earlier.begin = std::min(earlier.begin, range.begin);
    earlier.end = std::max(earlier.end, range.end);
    return;
  }
  ranges_.push_back(range);
}

bool HazardTracker::add(std::span<const Access> accesses) {
  const auto range_of = [](const Access& access) {
    return Range{access.slice.buffer, access.slice.offset_bytes, access.slice.offset_bytes + access.slice.size_bytes,
                 access.mode != AccessMode::read};
  };
  const bool barrier = std::any_of(accesses.begin(), accesses.end(), [&](const Access& access) { return conflicts(range_of(access)); });
  if (barrier) ranges_.clear();
  for (const Access& access : accesses) insert(range_of(access));
  return barrier;
}

}  // namespace quire
