// Dispatches that are recorded once and replayed: as one command where the backend has them, one by one elsewhere, with the same barriers.
#include <doctest/doctest.h>

#include "engine/device/cost_model.hpp"
#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

constexpr uint64_t kPart = 64;

/// A device with three kernels on a buffer: the second reads what the first wrote, the third touches something else.
struct Fixture {
  explicit Fixture(bool in_driver, const DeviceOptions& options = {}) {
    state.keeps_recordings = in_driver;
    device.emplace(fake_device(state, options));
    buffer = make_buffer(*device, 8 * kPart);
  }
  BufferSlice part(uint64_t index) const { return buffer.slice(index * kPart, kPart); }
  Encoder kernels() {
    Encoder encoder = device->encoder();
    for (const uint64_t first : {uint64_t{0}, uint64_t{1}, uint64_t{3}}) {
      KernelCall call(KernelId::gated_activation);
      call.bind(0, part(first)).bind(1, part(first + 1));
      call.dispatch.work = {1000, 10};
      REQUIRE(encoder.dispatch(call.dispatch).ok());
    }
    return encoder;
  }
  std::vector<Access> accesses() const { return {{buffer.slice(0, 5 * kPart), AccessMode::read_write}}; }
  Recording keep() {
    Result<Recording> recording = device->keep(kernels());
    REQUIRE(recording.ok());
    return std::move(recording).value();
  }
  const std::vector<Command>& submitted(Encoder&& encoder) {
    REQUIRE(device->submit(std::move(encoder)).ok());
    return state.submissions.back().commands;
  }

  FakeState state;
  std::optional<Device> device;
  Buffer buffer;
};

std::vector<bool> barriers(std::span<const Command> commands) {
  std::vector<bool> before;
  for (const Command& command : commands) before.push_back(command.barrier_before);
  return before;
}

TEST_CASE("recording: where the backend has it, a replay is one command with the work of all") {
  Fixture f(true);
  const Recording recording = f.keep();
  CHECK(recording.in_driver());
  CHECK(f.state.submissions.empty());
  Encoder encoder = f.device->encoder();
  REQUIRE(encoder.replay(recording, f.accesses()).ok());
  const std::vector<Command>& commands = f.submitted(std::move(encoder));
  REQUIRE(commands.size() == 1);
  CHECK(commands[0].kind == Command::Kind::replay);
  REQUIRE(commands[0].recording != nullptr);
  CHECK(commands[0].recording->commands.size() == 3);
  CHECK(commands[0].work.bytes == 3000);
  CHECK(commands[0].work.macs == 30);
}

TEST_CASE("recording: elsewhere a replay is its dispatches, with the barriers that they had") {
  Fixture f(false);
  const Recording recording = f.keep();
  CHECK_FALSE(recording.in_driver());
  for (int time = 0; time < 2; ++time) {
    Encoder encoder = f.device->encoder();
    REQUIRE(encoder.replay(recording, f.accesses()).ok());
    const std::vector<Command>& commands = f.submitted(std::move(encoder));
    CHECK(barriers(commands) == std::vector<bool>{false, true, false});
    const Encoder plain = f.kernels();
    for (size_t i = 0; i < commands.size(); ++i) CHECK(commands[i].args == plain.commands()[i].args);
  }
}

TEST_CASE("recording: a replay waits for what it touches, and what comes after waits for it") {
  for (const bool in_driver : {true, false}) {
    CAPTURE(in_driver);
    Fixture f(in_driver);
    const Recording recording = f.keep();
    Encoder encoder = f.device->encoder();
    REQUIRE(encoder.fill(f.part(6), 1).ok());  // which the recording does not touch
    REQUIRE(encoder.replay(recording, f.accesses()).ok());
    REQUIRE(encoder.fill(f.part(7), 1).ok());
    REQUIRE(encoder.fill(f.part(2), 1).ok());
    REQUIRE(encoder.replay(recording, f.accesses()).ok());
    const std::vector<bool> expected = in_driver ? std::vector<bool>{false, false, false, true, true}
                                                 : std::vector<bool>{false, false, true, false, false, true, true, true, false};
    CHECK(barriers(f.submitted(std::move(encoder))) == expected);
  }
}

TEST_CASE("recording: with full barriers every one of its dispatches has one") {
  DeviceOptions options;
  options.barriers = BarrierMode::full;
  Fixture f(false, options);
  Encoder encoder = f.device->encoder();
  REQUIRE(encoder.replay(f.keep(), f.accesses()).ok());
  CHECK(barriers(f.submitted(std::move(encoder))) == std::vector<bool>{true, true, true});
}

TEST_CASE("recording: one that is longer than the submission bound is split like other commands") {
  DeviceOptions options;
  options.submission_bound = std::chrono::nanoseconds(2 * 2000);  // a launch is estimated at 2 us
  Fixture f(true, options);
  Encoder encoder = f.device->encoder();
  REQUIRE(encoder.replay(f.keep(), f.accesses()).ok());
  REQUIRE(f.device->submit(std::move(encoder)).ok());
  REQUIRE(f.state.submissions.size() == 2);
  CHECK(f.state.submissions[0].commands.size() == 2);
  CHECK(f.state.submissions[1].commands.size() == 1);
}

TEST_CASE("recording: its estimate is that of its dispatches") {
  Fixture f(true);
  Encoder encoder = f.device->encoder();
  REQUIRE(encoder.replay(f.keep(), f.accesses()).ok());
  const CostModel model(DeviceType::discrete, 1.0);
  double sum = 0;
  for (const Command& dispatch : encoder.commands()[0].recording->commands) sum += model.estimate_ns(dispatch);
  CHECK(model.estimate_ns(encoder.commands()[0]) == sum);
  CHECK(sum >= 6000);
}

TEST_CASE("recording: it may be destroyed while an encoder replays it") {
  Fixture f(true);
  Encoder encoder = f.device->encoder();
  {
    const Recording recording = f.keep();
    REQUIRE(encoder.replay(recording, f.accesses()).ok());
  }
  CHECK(encoder.commands()[0].recording->commands.size() == 3);
  CHECK(f.device->submit(std::move(encoder)).ok());
}

TEST_CASE("recording: the device outlives it") {
  FakeState state;
  Recording recording;
  {
    Device device = fake_device(state);
    recording = device.keep(device.encoder()).value();
  }
  CHECK(recording);
  Device other = fake_device(state);
  Encoder encoder = other.encoder();
  CHECK(encoder.replay(recording, {}).code() == Code::invalid_argument);
  CHECK(encoder.replay({}, {}).code() == Code::invalid_argument);
  CHECK(encoder.commands().empty());
}

TEST_CASE("recording: copies, fills and foreign encoders are refused and keep their commands; a failed one may be tried again") {
  Fixture f(true);
  FakeState other_state;
  Device other = fake_device(other_state);
  Encoder encoder = f.kernels();
  CHECK(other.keep(std::move(encoder)).code() == Code::invalid_argument);
  f.state.fail_at_call = f.state.calls;
  CHECK(f.device->keep(std::move(encoder)).code() == Code::out_of_device_memory);
  CHECK(encoder.commands().size() == 3);
  CHECK(f.device->keep(std::move(encoder)).ok());
  CHECK(f.device->keep(std::move(encoder)).code() == Code::invalid_argument);
  Encoder fills = f.kernels();
  REQUIRE(fills.fill(f.part(7), 0).ok());
  CHECK(f.device->keep(std::move(fills)).code() == Code::invalid_argument);
  CHECK(fills.commands().size() == 4);
  const Recording recording = f.keep();
  for (const bool in_driver : {true, false}) {
    Fixture g(in_driver);
    Encoder replaying = g.device->encoder();
    REQUIRE(replaying.replay(g.keep(), g.accesses()).ok());
    CHECK(g.device->keep(std::move(replaying)).code() == Code::invalid_argument);
    CHECK(g.device->submit(std::move(replaying)).ok());
  }
  const Buffer foreign = make_buffer(other, kPart);
  Encoder replays = f.device->encoder();
  for (const Access& access : {Access{}, Access{foreign.slice(), AccessMode::read}, Access{f.buffer.slice(0, 9 * kPart), AccessMode::read}})
    CHECK(replays.replay(recording, {&access, 1}).code() == Code::invalid_argument);
  CHECK(replays.commands().empty());
}

}  // namespace
}  // namespace quire
