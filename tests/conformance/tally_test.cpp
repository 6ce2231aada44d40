// Runs last (doctest orders test cases by file name): what was covered, and what the validation layers said.
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>

#include "tests/conformance/support/case_plan.hpp"
#include "tests/conformance/support/test_devices.hpp"

namespace quire::conformance {

TEST_CASE("tally: every kernel of the manifest has cases, and the validation layers are silent") {
  for (uint32_t i = 0; i < kKernelCount; ++i) {
    const auto kernel = static_cast<KernelId>(i);
    std::printf("conformance: %-16s %8llu cases\n", kernel_info(kernel).name.data(), static_cast<unsigned long long>(counted_cases(kernel)));
    if (kernel == KernelId::matmul_cooperative && test_devices().vulkan.device().limits().cooperative_shape.rows == 0) continue;  // its cases say so
    if (kernel == KernelId::matmul_int8 && !test_devices().vulkan.device().limits().integer_dot_product) continue;
    CHECK_MESSAGE(counted_cases(kernel) > 0, kernel_info(kernel).name);
  }
  CHECK(close_test_devices() == "");
}

namespace {

/// Runs that leave the tally out close the devices here: after main the driver may be gone.
struct DeviceCloser : doctest::IReporter {
  explicit DeviceCloser(const doctest::ContextOptions&) {}
  void test_run_end(const doctest::TestRunStats&) override {
    const std::string messages = close_test_devices();
    if (messages.empty()) return;
    std::fprintf(stderr, "validation: %s\n", messages.c_str());
    std::_Exit(1);
  }
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("device_closer", 1, DeviceCloser);

}  // namespace
}  // namespace quire::conformance
