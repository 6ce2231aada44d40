// Runs last (doctest orders test cases by file name): what was covered, and what the validation layers said.
#include <cstdio>
#include <doctest/doctest.h>

#include "tests/conformance/support/case_plan.hpp"
#include "tests/conformance/support/test_devices.hpp"

namespace quire::conformance {

TEST_CASE("tally: every kernel of the manifest has cases, and the validation layers are silent") {
  for (uint32_t i = 0; i < kKernelCount; ++i) {
    const auto kernel = static_cast<KernelId>(i);
    std::printf("conformance: %-16s %8llu cases\n", kernel_info(kernel).name.data(), static_cast<unsigned long long>(counted_cases(kernel)));
    CHECK_MESSAGE(counted_cases(kernel) > 0, kernel_info(kernel).name);
  }
  CHECK(close_test_devices() == "");
}

}  // namespace quire::conformance
