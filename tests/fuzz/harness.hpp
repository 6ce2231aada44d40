// What every fuzz harness defines: what it does with one input, and a good input to start from when there is no corpus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quire::testing {

enum class FuzzOutcome { refused, accepted };

/// Feeds one input to the code under test. A broken promise ends the process.
FuzzOutcome fuzz_one(std::span<const uint8_t> input);

/// A well-formed input that reaches deep.
std::vector<uint8_t> fuzz_seed();

/// Ends the process, so that libFuzzer and the test runner both see a broken promise as a crash.
[[noreturn]] void fuzz_failure(const char* promise);

}  // namespace quire::testing
