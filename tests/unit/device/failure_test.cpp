// Backends that fail: shortage leaves everything as it was, a lost device stays lost.
#include <doctest/doctest.h>

#include <optional>

#include "engine/device/staging_pool.hpp"
#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

struct Snapshot {
  explicit Snapshot(const FakeState& state, Device& device)
      : live_buffers(state.live_buffers),
        live_bytes(state.live_bytes),
        submissions(state.submissions.size()),
        last_submitted(device.last_submitted()),
        lost(device.lost()) {}
  bool operator==(const Snapshot&) const = default;
  int64_t live_buffers;
  uint64_t live_bytes;
  size_t submissions;
  uint64_t last_submitted;
  bool lost;
};

/// One small step. Each call that answers an error must have changed nothing, and is made once more.
class Step {
 public:
  Step(FakeState& state, Device& device) : state_(state), device_(device) {}
  size_t errors() const { return errors_; }

  void run() {
    std::optional<Buffer> buffer;
    KernelCall call(KernelId::gated_activation);
    again([&] { return device_.prepare(call.dispatch.kernel); });
    again([&] { return keep(device_.create_buffer(256, BufferUse::device, "step"), buffer); });
    const std::vector<std::byte> bytes(128);
    Encoder encoder = device_.encoder();
    again([&] { return encoder.upload(buffer->slice(0, 128), bytes); });
    call.bind(0, buffer->slice(0, 128)).bind(1, buffer->slice(128, 128));
    again([&] { return encoder.dispatch(call.dispatch); });
    CHECK(encoder.commands().size() == 2);
    std::optional<uint64_t> value;
    again([&] { return keep(device_.submit(std::move(encoder)), value); });
    again([&] { return device_.wait(*value, std::chrono::seconds(1)); });
    std::optional<std::vector<KernelTiming>> timings;
    again([&] { return keep(device_.take_timings(), timings); });
    std::optional<uint64_t> completed;
    again([&] { return keep(device_.completed(), completed); });
    CHECK(*completed == *value);
    again([&] { return device_.save_pipeline_cache(); });
    CHECK(state_.submissions.back().commands.size() == 2);
  }

 private:
  template <class T>
  static Status keep(Result<T> result, std::optional<T>& place) {
    if (!result) return std::move(result).error();
    place = std::move(result).value();
    return {};
  }

  template <class Call>
  void again(const Call& call) {
    const Snapshot before(state_, device_);
    const Status first = call();
    if (first.ok()) return;
    ++errors_;
    CHECK(first.code() == state_.fail_code);
    CHECK(Snapshot(state_, device_) == before);
    REQUIRE(call().ok());
  }

  FakeState& state_;
  Device& device_;
  size_t errors_ = 0;
};

uint64_t calls_of_one_step() {
  FakeState state;
  Device device = fake_device(state);
  Step(state, device).run();
  return state.calls;
}

TEST_CASE("device: each backend call of a step fails once; nothing has changed and the same call then succeeds") {
  const uint64_t calls = calls_of_one_step();
  CHECK(calls >= 8);
  size_t errors = 0;
  for (Code code : {Code::out_of_device_memory, Code::out_of_host_memory, Code::internal})
    for (uint64_t n = 0; n < calls; ++n) {
      CAPTURE(n);
      FakeState state;
      state.fail_at_call = n;
      state.fail_code = code;
      {
        Device device = fake_device(state);
        Step step(state, device);
        step.run();
        errors += step.errors();
        CHECK(step.errors() <= 1);
        CHECK(device.memory().buffer_bytes == 0);
        CHECK(device.memory().staging_bytes == kStagingBlockBytes);
      }
      CHECK(state.live_buffers == 0);
    }
  // The only calls whose failure no caller sees are the front's own polls.
  CHECK(errors >= 3 * (calls - 2));
}

TEST_CASE("device: after any call answered device_lost, every later call does, and nothing leaks") {
  const uint64_t calls = calls_of_one_step();
  for (uint64_t n = 0; n < calls; ++n) {
    CAPTURE(n);
    FakeState state;
    state.fail_at_call = n;  // only this one: the front must remember
    state.fail_code = Code::device_lost;
    {
      Device device = fake_device(state);
      KernelCall call(KernelId::gated_activation);
      const std::vector<std::byte> bytes(128);
      // The order of Step::run, going on whatever is answered.
      static_cast<void>(device.prepare(call.dispatch.kernel));
      auto buffer = device.create_buffer(256, BufferUse::device, "step");
      Encoder encoder = device.encoder();
      if (buffer) {
        static_cast<void>(encoder.upload(buffer->slice(0, 128), bytes));
        call.bind(0, buffer->slice(0, 128)).bind(1, buffer->slice(128, 128));
        static_cast<void>(encoder.dispatch(call.dispatch));
      }
      static_cast<void>(device.submit(std::move(encoder)));
      static_cast<void>(device.wait(device.last_submitted(), std::chrono::seconds(1)));
      static_cast<void>(device.take_timings());
      static_cast<void>(device.completed());
      static_cast<void>(device.save_pipeline_cache());

      REQUIRE(device.lost());
      const uint64_t calls_so_far = state.calls;
      Encoder later = device.encoder();
      CHECK(device.create_buffer(64, BufferUse::device, "later").code() == Code::device_lost);
      CHECK(device.prepare(call.dispatch.kernel).code() == Code::device_lost);
      CHECK(device.completed().code() == Code::device_lost);
      CHECK(device.wait(0, {}).code() == Code::device_lost);
      CHECK(device.take_timings().code() == Code::device_lost);
      CHECK(device.save_pipeline_cache().code() == Code::device_lost);
      CHECK(later.dispatch(call.dispatch).code() == Code::device_lost);
      CHECK(later.fill({}, 0).code() == Code::device_lost);
      CHECK(later.copy({}, {}).code() == Code::device_lost);
      CHECK(later.upload({}, {}).code() == Code::device_lost);
      CHECK(device.submit(std::move(later)).code() == Code::device_lost);
      CHECK(state.calls == calls_so_far);
    }
    CHECK(state.live_buffers == 0);
  }
}

TEST_CASE("device: a wait that runs out of time may be repeated") {
  FakeState state;
  Device device = fake_device(state);
  const uint64_t value = device.submit(device.encoder()).value();
  state.wait_completes = false;
  CHECK(device.wait(value, {}).code() == Code::timeout);
  CHECK_FALSE(device.lost());
  state.wait_completes = true;
  CHECK(device.wait(value, {}).ok());
}

TEST_CASE("device: rejects waiting for a value that was never handed out") {
  FakeState state;
  Device device = fake_device(state);
  CHECK(device.wait(0, {}).ok());
  CHECK(device.wait(1, {}).code() == Code::invalid_argument);
}

TEST_CASE("device: rejects buffers of no bytes and larger than the limit, and accepts one at the limit") {
  FakeState state;
  state.info.limits.max_buffer_bytes = 4096;
  Device device = fake_device(state);
  CHECK(device.create_buffer(0, BufferUse::device, "none").code() == Code::invalid_argument);
  CHECK(device.create_buffer(4097, BufferUse::device, "large").code() == Code::invalid_argument);
  CHECK(device.create_buffer(UINT64_MAX, BufferUse::device, "huge").code() == Code::invalid_argument);
  CHECK(state.calls == 0);
  CHECK(device.create_buffer(4096, BufferUse::device, "right").ok());
}

struct TwoParts {
  TwoParts() {
    DeviceOptions options;
    options.submission_bound = std::chrono::nanoseconds(1);
    device.emplace(fake_device(state, options));
    buffer.emplace(make_buffer(*device, 64));
    encoder.emplace(device->encoder());
    REQUIRE(encoder->fill(buffer->slice(), 1).ok());
    REQUIRE(encoder->fill(buffer->slice(), 2).ok());
  }
  FakeState state;
  std::optional<Device> device;
  std::optional<Buffer> buffer;
  std::optional<Encoder> encoder;
};

TEST_CASE_FIXTURE(TwoParts, "device: a later part of a split submission is tried again once the earlier ones have run") {
  state.fail_at_call = state.calls + 1;
  CHECK(device->submit(std::move(*encoder)).value() == 2);
  CHECK(state.submissions.size() == 2);
  CHECK(state.completed == 1);
}

TEST_CASE_FIXTURE(TwoParts, "device: a split submission that stays half done loses the device") {
  state.fail_from_call = state.calls + 1;
  CHECK(device->submit(std::move(*encoder)).code() == Code::device_lost);
  CHECK(device->lost());
}

}  // namespace
}  // namespace quire
