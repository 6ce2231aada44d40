// The regression run of a fuzz harness without libFuzzer: mutations of its good input, the same ones every time.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <random>

#include "tests/fuzz/harness.hpp"

using namespace quire::testing;

namespace {

constexpr uint64_t kSeed = 1;
constexpr int kRounds = 4000;

void mutate(std::vector<uint8_t>& input, std::mt19937_64& random) {
  constexpr uint8_t kTelling[] = {0x00, 0x01, 0x7F, 0x80, 0xFF, '\n', ' ', 0x08, 0x09};
  for (uint64_t changes = 1 + random() % 4; changes > 0 && !input.empty(); --changes) {
    const size_t at = random() % input.size();
    const auto where = input.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random() % 6) {
      case 0: *where ^= static_cast<uint8_t>(1u << random() % 8); break;
      case 1: *where = kTelling[random() % std::size(kTelling)]; break;
      case 2: input.insert(where, static_cast<uint8_t>(random())); break;
      case 3: input.erase(where); break;
      case 4: input.resize(at + 1); break;
      default: {
        const std::vector<uint8_t> copy(where, where + static_cast<std::ptrdiff_t>(std::min<size_t>(random() % 32, input.size() - at)));
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(random() % input.size()), copy.begin(), copy.end());
      }
    }
  }
}

}  // namespace

TEST_CASE("fuzz: mutations of a good input break no promise") {
  CAPTURE(kSeed);
  std::mt19937_64 random(kSeed);
  const std::vector<uint8_t> seed = fuzz_seed();
  REQUIRE(fuzz_one(seed) == FuzzOutcome::accepted);
  int accepted = 0, refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<uint8_t> input = seed;
    mutate(input, random);
    ++(fuzz_one(input) == FuzzOutcome::accepted ? accepted : refused);
  }
  std::printf("%d mutations: %d accepted, %d refused\n", kRounds, accepted, refused);
  CHECK(accepted > 0);
  CHECK(refused > 0);
}
