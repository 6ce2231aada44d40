#include "engine/device/cost_model.hpp"

#include <doctest/doctest.h>

namespace quire {
namespace {

Command command_of(Work work) {
  Command command;
  command.work = work;
  return command;
}

TEST_CASE("cost_model: the slower of bytes and multiply-accumulates decides") {
  const CostModel model(DeviceType::discrete, 1.0);
  const double by_bytes = model.estimate_ns(command_of({.bytes = 1'000'000'000, .macs = 1}));
  const double by_macs = model.estimate_ns(command_of({.bytes = 1, .macs = 10'000'000'000}));
  CHECK(model.estimate_ns(command_of({.bytes = 1'000'000'000, .macs = 10'000'000'000})) == doctest::Approx(std::max(by_bytes, by_macs)));
  CHECK(model.estimate_ns(command_of({.bytes = 2'000'000'000, .macs = 0})) == doctest::Approx(2 * by_bytes));
  CHECK(model.estimate_ns(command_of({})) > 0);
}

TEST_CASE("cost_model: slower device types get longer estimates") {
  const Command command = command_of({.bytes = 1'000'000'000, .macs = 1'000'000'000});
  const double discrete = CostModel(DeviceType::discrete, 1.0).estimate_ns(command);
  const double integrated = CostModel(DeviceType::integrated, 1.0).estimate_ns(command);
  const double cpu = CostModel(DeviceType::cpu, 1.0).estimate_ns(command);
  CHECK(discrete < integrated);
  CHECK(integrated < cpu);
}

TEST_CASE("cost_model: measured times pull the estimate of their kernel, and of no other, towards them") {
  CostModel model(DeviceType::discrete, 1.0);
  Command matmul = command_of({.bytes = 100'000'000, .macs = 0});
  matmul.kernel.id = KernelId::matmul_many;
  Command norm = matmul;
  norm.kernel.id = KernelId::rms_norm;
  const double before = model.estimate_ns(matmul);
  const auto measured_ns = static_cast<uint64_t>(8 * before);
  double last = before;
  for (int i = 0; i < 40; ++i) {
    model.observe({matmul.kernel, measured_ns, matmul.work});
    CHECK(model.estimate_ns(matmul) >= last);
    last = model.estimate_ns(matmul);
  }
  CHECK(last == doctest::Approx(8 * before).epsilon(0.01));
  CHECK(model.estimate_ns(norm) == before);
}

TEST_CASE("cost_model: absurd measurements stay within bounds") {
  CostModel model(DeviceType::discrete, 1.0);
  const Command command = command_of({.bytes = 100'000'000, .macs = 0});
  const double before = model.estimate_ns(command);
  for (int i = 0; i < 100; ++i) model.observe({command.kernel, UINT64_MAX, command.work});
  CHECK(model.estimate_ns(command) <= 64.001 * before);
  for (int i = 0; i < 100; ++i) model.observe({command.kernel, 0, command.work});
  CHECK(model.estimate_ns(command) >= before / 64.001);
}

TEST_CASE("cost_model: multiply-accumulates within a bound are those that it estimates to take as long, and all where there is none") {
  const CostModel model(DeviceType::discrete, 2.0);
  const uint64_t macs = model.macs_within(std::chrono::milliseconds(100));
  CHECK(model.estimate_ns(command_of({.bytes = 0, .macs = macs})) == doctest::Approx(100e6));
  CHECK(model.macs_within(std::chrono::nanoseconds(0)) == UINT64_MAX);
  CHECK(model.macs_within(std::chrono::nanoseconds(-1)) == UINT64_MAX);
  CHECK(model.macs_within(std::chrono::nanoseconds::max()) == UINT64_MAX);
}

TEST_CASE("cost_model: the bound is 100 ms on a GPU and none on a CPU device") {
  using namespace std::chrono_literals;
  CHECK(default_submission_bound(DeviceType::discrete) == 100ms);
  CHECK(default_submission_bound(DeviceType::integrated) == 100ms);
  CHECK(default_submission_bound(DeviceType::virtual_gpu) == 100ms);
  CHECK(default_submission_bound(DeviceType::cpu) == 0ms);
}

}  // namespace
}  // namespace quire
