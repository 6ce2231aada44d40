// What one run of a case gave, and the comparison that every test ends with.
#pragma once

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/conformance/support/case_memory.hpp"
#include "tests/conformance/support/case_plan.hpp"
#include "tests/conformance/support/compare.hpp"

namespace quire::conformance {

struct Outcome {
  std::string failure;        ///< empty: the run succeeded and wrote nothing outside its results
  std::vector<float> values;  ///< the result
};

/// Records and runs on `memory`'s device; the values are the result region's.
inline Outcome run_case(CaseMemory& memory, const Region& result, const std::function<Status(Recorder)>& record) {
  Outcome outcome;
  outcome.failure = memory.run(record);
  if (outcome.failure.empty()) {
    const auto values = elements_of<float>(memory.after(result));
    outcome.values.assign(values.begin(), values.end());
  }
  return outcome;
}

/// Runs the case on both devices and compares: `on_device` is called with each, reference first.
template <class OnDevice>
void compare_devices(KernelId kernel, const OnDevice& on_device, const ToleranceOf& tolerance) {
  count_case(kernel);
  const Outcome expected = on_device(test_devices().reference);
  REQUIRE_MESSAGE(expected.failure.empty(), "reference: ", expected.failure);
  const Outcome actual = on_device(test_devices().vulkan);
  REQUIRE_MESSAGE(actual.failure.empty(), "vulkan: ", actual.failure);
  const std::string difference = differing_floats(expected.values, actual.values, tolerance);
  CHECK_MESSAGE(difference.empty(), difference);
}

inline Tolerance exactly(uint32_t) { return {}; }

}  // namespace quire::conformance
