// argmax against the reference: compared exactly.
#include <algorithm>
#include <doctest/doctest.h>
#include <iterator>
#include <limits>

#include "tests/conformance/support/outcome.hpp"
#include "tests/conformance/support/values.hpp"

namespace quire::conformance {
namespace {

enum class LogitKind : uint8_t { spread, few_values, all_equal, zeros_of_both_signs, strange, nothing_finite, largest_last };
constexpr uint32_t kLogitKindCount = 7;

constexpr uint32_t kVocabularies[] = {1, 2, 7, 333, 1000, 49152};
constexpr uint32_t kRowCounts[] = {1, 3};

struct SearchCase {
  uint32_t vocabulary = 0;
  uint32_t rows = 0;
  std::vector<float> logits;
};

float logit(Random& random, LogitKind kind, uint32_t index, uint32_t vocabulary) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float strange[] = {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity};
  switch (kind) {
    case LogitKind::spread: return random.uniform(-30, 30);
    case LogitKind::few_values: return random.grid(1, 0.5f);
    case LogitKind::all_equal: return -1.5f;
    case LogitKind::zeros_of_both_signs: return random.below(3) == 0 ? -1e-3f : random.below(2) ? -0.0f : 0.0f;
    case LogitKind::strange: return random.below(4) == 0 ? strange[random.below(3)] : random.uniform(-3e38f, 3e38f);
    case LogitKind::nothing_finite: return strange[random.below(3)];
    case LogitKind::largest_last: return index + 1 == vocabulary ? 3e38f : -3e38f;
  }
  return 0;
}

SearchCase make_case(const Choice& choice) {
  SearchCase c{kVocabularies[choice[0]], kRowCounts[choice[1]], {}};
  Random random(0x5ea7c + choice[2]);
  for (uint32_t row = 0; row < c.rows; ++row)
    for (uint32_t i = 0; i < c.vocabulary; ++i) c.logits.push_back(logit(random, static_cast<LogitKind>(choice[2]), i, c.vocabulary));
  return c;
}

struct SearchOutcome {
  std::string failure;
  std::vector<std::byte> results;
};

template <class Record>
SearchOutcome run_search(TestDevice& device, const SearchCase& c, uint64_t result_bytes, const Record& record) {
  CaseMemory memory(device);
  const Region logits = memory.add(bytes_of(c.logits));
  const Region results = memory.add_output(result_bytes);
  memory.place();
  SearchOutcome outcome;
  outcome.failure = memory.run([&](Recorder r) { return record(r, Activation{memory.slice(logits), c.vocabulary, c.rows, 1}, memory.slice(results)); });
  if (!outcome.failure.empty()) return outcome;
  const auto bytes = memory.after(results);
  outcome.results.assign(bytes.begin(), bytes.end());
  return outcome;
}

template <class Record>
void compare_search(KernelId kernel, const SearchCase& c, uint64_t result_bytes, const Record& record) {
  count_case(kernel);
  const SearchOutcome expected = run_search(test_devices().reference, c, result_bytes, record);
  REQUIRE_MESSAGE(expected.failure.empty(), "reference: ", expected.failure);
  const SearchOutcome actual = run_search(test_devices().vulkan, c, result_bytes, record);
  REQUIRE_MESSAGE(actual.failure.empty(), "vulkan: ", actual.failure);
  const std::string difference = differing_bytes(expected.results, actual.results);
  CHECK_MESSAGE(difference.empty(), difference);
}

TEST_CASE("argmax: the first of the largest finite logits, and how many are not finite") {
  for_each_case(Coverage::product, std::vector<uint32_t>{std::size(kVocabularies), std::size(kRowCounts), kLogitKindCount}, [](const Choice& choice) {
    const SearchCase c = make_case(choice);
    CAPTURE(c.vocabulary);
    CAPTURE(c.rows);
    CAPTURE(choice[2]);
    compare_search(KernelId::argmax, c, c.rows * sizeof(ArgmaxResult),
                   [](Recorder r, const Activation& logits, BufferSlice results) { return record_argmax(r, logits, results); });
  });
}

}  // namespace
}  // namespace quire::conformance
