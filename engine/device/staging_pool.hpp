// Host-visible blocks that Encoder::upload copies through, kept for reuse.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/device/backend.hpp"

namespace quire {

inline constexpr uint64_t kStagingBlockBytes = uint64_t{4} << 20;
/// Pieces of a block, and its end, are at multiples of this.
inline constexpr uint64_t kStagingAlignment = 16;

/// A block that one encoder fills from the front.
struct StagingBlock {
  std::unique_ptr<BackendBuffer> buffer;
  uint64_t used_bytes = 0;
};

/// All blocks of a device have one size. A block is free again when the timeline value it was returned with is reached.
class StagingPool {
 public:
  /// A block whose work is complete, or null.
  std::unique_ptr<BackendBuffer> take(uint64_t completed_value);
  void give_back(std::unique_ptr<BackendBuffer> block, uint64_t timeline_value);
  /// Free blocks beyond `keep_blocks`, for the caller to destroy.
  std::vector<std::unique_ptr<BackendBuffer>> trim(uint64_t completed_value, size_t keep_blocks);
  /// Forgets all blocks without destroying them: a device that does not answer may still read them.
  void abandon();

 private:
  struct Idle {
    std::unique_ptr<BackendBuffer> buffer;
    uint64_t timeline_value;
  };
  std::vector<Idle> idle_;
};

}  // namespace quire
