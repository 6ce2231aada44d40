// Submissions are cut where the estimate reaches the bound.
#include <doctest/doctest.h>

#include "engine/device/cost_model.hpp"
#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

constexpr uint64_t kSlice = 64;

/// `count` fills of one size each, on a device whose bound is the estimate of `per_submission` of them.
struct Split {
  Split(size_t count, double per_submission, double factor = 1.0) {
    Command fill;
    fill.kind = Command::Kind::fill;
    fill.work.bytes = kSlice;
    const double each_ns = CostModel(DeviceType::discrete, 1.0).estimate_ns(fill);
    DeviceOptions options;
    options.submission_bound = std::chrono::nanoseconds(static_cast<int64_t>(per_submission * each_ns));
    options.estimate_factor = factor;
    Device device = fake_device(state, options);
    const Buffer buffer = make_buffer(device, kSlice);
    Encoder encoder = device.encoder();
    for (size_t i = 0; i < count; ++i) REQUIRE(encoder.fill(buffer.slice(), static_cast<uint32_t>(i)).ok());
    value = device.submit(std::move(encoder)).value();
    CHECK(device.last_submitted() == value);
    split_off = device.submission_count();
  }
  std::vector<size_t> sizes() const {
    std::vector<size_t> sizes;
    for (const auto& submission : state.submissions) sizes.push_back(submission.commands.size());
    return sizes;
  }
  FakeState state;
  uint64_t value = 0;
  uint64_t split_off = 0;
};

TEST_CASE("submission: commands within the bound are one submission") {
  const Split split(7, 7);
  CHECK(split.sizes() == std::vector<size_t>{7});
  CHECK(split.value == 1);
  CHECK(split.split_off == 0);
}

TEST_CASE("submission: the first command past the bound starts the next one, each with a timeline value of its own, in order") {
  const Split split(7, 3);
  CHECK(split.sizes() == std::vector<size_t>{3, 3, 1});
  CHECK(split.value == 3);
  CHECK(split.split_off == 2);
  uint32_t word = 0;
  for (size_t i = 0; i < 3; ++i) {
    CHECK(split.state.submissions[i].value == i + 1);
    for (const Command& command : split.state.submissions[i].commands) CHECK(command.fill_word == word++);
  }
  CHECK(word == 7);
}

TEST_CASE("submission: a command longer than the bound goes alone") {
  const Split split(3, 0.5);
  CHECK(split.sizes() == std::vector<size_t>{1, 1, 1});
}

TEST_CASE("submission: a larger estimate splits earlier") {
  CHECK(Split(8, 8, 1.0).sizes() == std::vector<size_t>{8});
  CHECK(Split(8, 8, 2.0).sizes() == std::vector<size_t>{4, 4});
  CHECK(Split(8, 8, 4.0).sizes() == std::vector<size_t>{2, 2, 2, 2});
}

TEST_CASE("submission: a bound of zero never splits") {
  const Split split(100, 0);
  CHECK(split.sizes() == std::vector<size_t>{100});
}

TEST_CASE("submission: no commands are still a submission with a value") {
  FakeState state;
  Device device = fake_device(state);
  CHECK(device.submit(device.encoder()).value() == 1);
  CHECK(device.submit(device.encoder()).value() == 2);
  CHECK(state.submissions.size() == 2);
}

TEST_CASE("submission: measured times move the cut") {
  FakeState state;
  DeviceOptions options;
  options.submission_bound = std::chrono::milliseconds(10);
  Device device = fake_device(state, options);
  const Buffer buffer = make_buffer(device, kSlice);
  KernelCall call(KernelId::gated_activation);
  call.bind(0, buffer.slice(0, 32)).bind(1, buffer.slice(32, 32));
  call.dispatch.work.bytes = 80'000'000;  // 1 ms at the start rate
  const auto submit_eight = [&] {
    state.submissions.clear();
    Encoder encoder = device.encoder();
    for (int i = 0; i < 8; ++i) REQUIRE(encoder.dispatch(call.dispatch).ok());
    REQUIRE(device.submit(std::move(encoder)).ok());
    return state.submissions.size();
  };
  CHECK(submit_eight() == 1);
  for (int i = 0; i < 40; ++i) {
    state.timings.push_back({call.dispatch.kernel, 5'000'000, call.dispatch.work});
    CHECK(device.take_timings().value().size() == 1);
  }
  CHECK(submit_eight() >= 4);
}

TEST_CASE("submission: rejects a negative bound and an estimate factor that is no positive number") {
  FakeState state;
  DeviceOptions options;
  options.submission_bound = std::chrono::nanoseconds(-1);
  CHECK(Device::from_backend(std::make_unique<FakeBackend>(state), options).code() == Code::invalid_argument);
  options = {};
  for (double factor : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    options.estimate_factor = factor;
    CHECK(Device::from_backend(std::make_unique<FakeBackend>(state), options).code() == Code::invalid_argument);
  }
}

}  // namespace
}  // namespace quire
