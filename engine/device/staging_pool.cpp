#include "engine/device/staging_pool.hpp"

#include <algorithm>
#include <utility>

namespace quire {

std::unique_ptr<BackendBuffer> StagingPool::take(uint64_t completed_value) {
  const auto free = std::find_if(idle_.begin(), idle_.end(), [&](const Idle& idle) { return idle.timeline_value <= completed_value; });
  if (free == idle_.end()) return nullptr;
  std::unique_ptr<BackendBuffer> block = std::move(free->buffer);
  idle_.erase(free);
  return block;
}

void StagingPool::give_back(std::unique_ptr<BackendBuffer> block, uint64_t timeline_value) {
  idle_.push_back({std::move(block), timeline_value});
}

std::vector<std::unique_ptr<BackendBuffer>> StagingPool::trim(uint64_t completed_value, size_t keep_blocks) {
  std::vector<std::unique_ptr<BackendBuffer>> surplus;
  size_t free_count = 0;
  for (Idle& idle : idle_)
    if (idle.timeline_value <= completed_value && ++free_count > keep_blocks) surplus.push_back(std::move(idle.buffer));
  std::erase_if(idle_, [](const Idle& idle) { return idle.buffer == nullptr; });
  return surplus;
}

void StagingPool::abandon() {
  for (Idle& idle : idle_) static_cast<void>(idle.buffer.release());
  idle_.clear();
}

}  // namespace quire
