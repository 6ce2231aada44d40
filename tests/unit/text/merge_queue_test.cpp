#include <doctest/doctest.h>

#include <cstdint>
#include <iterator>
#include <random>
#include <set>

#include "engine/text/merge_queue.hpp"

using namespace quire;

TEST_CASE("merge queue: the best of what is in it comes next, whether it was there at the start or came later") {
  std::mt19937 random(7);
  MergeQueue<uint32_t> queue;
  for (const uint32_t at_start : {0U, 1U, 100U}) {
    CAPTURE(at_start);
    std::multiset<uint32_t> expected;
    queue.clear();
    for (uint32_t i = 0; i < at_start; ++i) {
      const auto value = static_cast<uint32_t>(random() % 50);
      queue.add(value);
      expected.insert(value);
    }
    queue.start();
    for (uint32_t step = 0; step < 300; ++step) {
      if (step < 100 && random() % 2 == 0) {
        const auto value = static_cast<uint32_t>(random() % 50);
        queue.push(value);
        expected.insert(value);
      }
      const auto popped = queue.pop();
      REQUIRE(popped.has_value() == !expected.empty());
      if (!popped) continue;
      CHECK(*popped == *expected.rbegin());
      expected.erase(std::prev(expected.end()));
    }
    CHECK(expected.empty());
  }
}
