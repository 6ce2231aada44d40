// MergeQueue: the pairs of a byte-pair encoding that can be merged, best first.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

namespace quire {

/// Most pairs are known before the first merge. These are sorted once, which touches memory in order; only later ones go through a heap, which does not and
/// stays small. `a < b`: b is better; of a total order of the pairs that are in it at a time.
template <class Candidate>
class MergeQueue {
 public:
  void clear() {
    sorted_.clear();
    heap_.clear();
  }
  /// Requires: start() was not called since clear().
  void add(const Candidate& candidate) { sorted_.push_back(candidate); }
  void start() { std::sort(sorted_.begin(), sorted_.end()); }
  /// Requires: start() was called since clear().
  void push(const Candidate& candidate) {
    heap_.push_back(candidate);
    std::push_heap(heap_.begin(), heap_.end());
  }
  std::optional<Candidate> pop() {
    if (heap_.empty() && sorted_.empty()) return std::nullopt;
    const bool from_heap = sorted_.empty() || (!heap_.empty() && sorted_.back() < heap_.front());
    if (from_heap) std::pop_heap(heap_.begin(), heap_.end());
    std::vector<Candidate>& source = from_heap ? heap_ : sorted_;
    const Candidate best = source.back();
    source.pop_back();
    return best;
  }

 private:
  std::vector<Candidate> sorted_;
  std::vector<Candidate> heap_;
};

}  // namespace quire
