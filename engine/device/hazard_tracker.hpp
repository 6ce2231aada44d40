// Which commands need a barrier before them: a flat list of the byte ranges touched since the last one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/device/encoder.hpp"

namespace quire {

class HazardTracker {
 public:
  /// Notes the accesses of the next command. True if it must wait for a barrier: it reads what a command since the last barrier wrote, or
  /// writes what one read or wrote. The barrier then covers everything before, so the list starts again with this command.
  bool add(std::span<const Access> accesses);
  /// A barrier stands before the next command whatever it touches.
  void clear() { ranges_.clear(); }

 private:
  struct Range {
    const BackendBuffer* buffer;
    uint64_t begin;
    uint64_t end;
    bool written;
  };
  bool conflicts(const Range& range) const;
  void insert(const Range& range);
  std::vector<Range> ranges_;
};

}  // namespace quire
