// What the encoder refuses. Each case starts from a dispatch that is recorded, changes one thing, and looks that nothing was recorded.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

FakeState small_grids() {
  FakeState state;
  state.info.limits.max_workgroup_count = {10, 20, 30};
  return state;
}

struct Fixture {
  Fixture() : state(small_grids()), device(fake_device(state)), other(fake_device(state)), buffer(make_buffer(device, 1024)), foreign(make_buffer(other, 1024)) {}

  /// rms_norm over three slices of one buffer.
  void prepare(KernelCall& call) const { call.bind(0, buffer.slice(0, 64)).bind(1, buffer.slice(64, 64)).bind(2, buffer.slice(128, 64)); }

  void records_nothing(const Dispatch& dispatch, Code code) {
    Encoder encoder = device.encoder();
    const Status status = encoder.dispatch(dispatch);
    CHECK(status.code() == code);
    CHECK(status.error().message.empty() == status.ok());
    CHECK(encoder.commands().empty());
    // No hazard is left behind either: what follows needs no barrier.
    REQUIRE(encoder.fill(buffer.slice(), 0).ok());
    CHECK_FALSE(encoder.commands().back().barrier_before);
  }

  FakeState state;
  Device device;
  Device other;
  Buffer buffer;
  Buffer foreign;
};

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

TEST_CASE_FIXTURE(Fixture, "encoder: a right dispatch is recorded with its addresses, whatever they held before") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  for (std::byte& byte : call.args()) byte = std::byte{0xab};
  Encoder encoder = device.encoder();
  REQUIRE(encoder.dispatch(call.dispatch).ok());
  REQUIRE(encoder.commands().size() == 1);
  const Command& command = encoder.commands()[0];
  for (size_t i = 0; i < 3; ++i) {
    uint64_t address = 0;
    std::memcpy(&address, command.args.data() + 8 * i, sizeof address);
    CHECK(address == buffer.address() + 64 * i);
  }
  // The fourth address is optional and not given; then the numbers begin.
  CHECK(std::all_of(command.args.begin() + 24, command.args.begin() + 32, [](std::byte byte) { return byte == std::byte{0}; }));
  CHECK(command.args[32] == std::byte{0xab});
  CHECK(call.args()[0] == std::byte{0xab});
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects arguments of the wrong size") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  const std::span<const std::byte> args = call.dispatch.args;
  call.dispatch.args = args.first(args.size() - 4);
  records_nothing(call.dispatch, Code::invalid_argument);
  const std::vector<std::byte> longer(args.size() + 4);
  call.dispatch.args = longer;
  records_nothing(call.dispatch, Code::invalid_argument);
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects a wrong number of bindings") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  call.dispatch.bindings = call.dispatch.bindings.first(2);
  records_nothing(call.dispatch, Code::invalid_argument);
  const std::vector<BufferSlice> five(5, buffer.slice());
  call.dispatch.bindings = five;
  records_nothing(call.dispatch, Code::invalid_argument);
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects a required binding that is empty, in buffer or in size") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  call.bind(2, {});
  records_nothing(call.dispatch, Code::invalid_argument);
  call.bind(2, buffer.slice(128, 0));
  records_nothing(call.dispatch, Code::invalid_argument);
}

TEST_CASE_FIXTURE(Fixture, "encoder: an optional binding that is empty becomes address 0") {
  KernelCall call(KernelId::matmul_few);
  prepare(call);
  call.bind(4, buffer.slice(192, 4));
  for (std::byte& byte : call.args()) byte = std::byte{0xab};
  Encoder encoder = device.encoder();
  REQUIRE(encoder.dispatch(call.dispatch).ok());
  uint64_t residual = 1;
  uint64_t bias = 0;
  std::memcpy(&residual, encoder.commands()[0].args.data() + 24, sizeof residual);
  std::memcpy(&bias, encoder.commands()[0].args.data() + 32, sizeof bias);
  CHECK(residual == 0);
  CHECK(bias == buffer.address() + 192);
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects a binding that leaves its buffer, also by overflow") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  call.bind(0, buffer.slice(1020, 4));
  {
    Encoder encoder = device.encoder();
    CHECK(encoder.dispatch(call.dispatch).ok());
  }
  for (const BufferSlice& slice : {buffer.slice(1020, 5), buffer.slice(1024, 1), buffer.slice(4096, 4), buffer.slice(0, 1025), buffer.slice(0, kHuge),
                                   buffer.slice(kHuge - 3, 8), buffer.slice(64, kHuge - 63)}) {
    call.bind(0, slice);
    records_nothing(call.dispatch, Code::invalid_argument);
  }
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects an address that is not a multiple of 4") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  for (uint64_t offset : {1u, 2u, 3u, 65u}) {
    call.bind(0, buffer.slice(offset, 64));
    records_nothing(call.dispatch, Code::invalid_argument);
  }
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects buffers of another device, bound, indirect or copied") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  const Access access{foreign.slice(), AccessMode::read};
  call.dispatch.indirect = {&access, 1};
  records_nothing(call.dispatch, Code::invalid_argument);
  call.dispatch.indirect = {};
  call.bind(1, foreign.slice(64, 64));
  records_nothing(call.dispatch, Code::invalid_argument);
  Encoder encoder = device.encoder();
  CHECK(encoder.copy(foreign.slice(0, 4), buffer.slice(0, 4)).code() == Code::invalid_argument);
  CHECK(encoder.copy(buffer.slice(0, 4), foreign.slice(0, 4)).code() == Code::invalid_argument);
  CHECK(encoder.fill(foreign.slice(0, 4), 0).code() == Code::invalid_argument);
  CHECK(encoder.commands().empty());
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects indirect accesses without a buffer or outside of it") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  for (const BufferSlice& slice : {BufferSlice{}, buffer.slice(0, 1028), buffer.slice(kHuge - 3, 8)}) {
    const Access access{slice, AccessMode::write};
    call.dispatch.indirect = {&access, 1};
    records_nothing(call.dispatch, Code::invalid_argument);
  }
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects workgroups and grids beyond the limits, and accepts them at the limit") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  call.dispatch.kernel.spec[0] = 0;
  records_nothing(call.dispatch, Code::invalid_argument);
  call.dispatch.kernel.spec[0] = 129;
  records_nothing(call.dispatch, Code::invalid_argument);
  call.dispatch.kernel.spec[0] = 128;
  for (size_t axis = 0; axis < 3; ++axis) {
    call.dispatch.groups = {1, 1, 1};
    call.dispatch.groups[axis] = state.info.limits.max_workgroup_count[axis] + 1;
    records_nothing(call.dispatch, Code::invalid_argument);
  }
  call.dispatch.groups = {10, 20, 30};
  Encoder encoder = device.encoder();
  CHECK(encoder.dispatch(call.dispatch).ok());
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects kernels, weight variants and constants that do not exist; so does prepare") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  const auto both_reject = [&](Code code) {
    records_nothing(call.dispatch, code);
    const uint64_t calls = state.calls;
    CHECK(device.prepare(call.dispatch.kernel).code() == code);
    CHECK(state.calls == calls);
  };
  call.dispatch.kernel.weight = WeightType::f16;
  both_reject(Code::unsupported);
  call.dispatch.kernel.weight = WeightType::none;
  call.dispatch.kernel.spec[5] = 1;
  both_reject(Code::invalid_argument);
  call.dispatch.kernel.spec[5] = 0;
  call.dispatch.kernel.id = KernelId::count;
  both_reject(Code::unsupported);
  KernelCall matmul(KernelId::matmul_few);
  prepare(matmul);
  matmul.dispatch.kernel.weight = WeightType::none;
  records_nothing(matmul.dispatch, Code::unsupported);
}

TEST_CASE_FIXTURE(Fixture, "encoder: an empty grid is checked and records nothing") {
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  call.dispatch.groups = {1, 0, 1};
  records_nothing(call.dispatch, Code::ok);
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects copies of unequal, odd or overlapping ranges") {
  Encoder encoder = device.encoder();
  CHECK(encoder.copy(buffer.slice(0, 64), buffer.slice(64, 60)).code() == Code::invalid_argument);
  CHECK(encoder.copy(buffer.slice(0, 6), buffer.slice(64, 6)).code() == Code::invalid_argument);
  CHECK(encoder.copy(buffer.slice(2, 8), buffer.slice(64, 8)).code() == Code::invalid_argument);
  CHECK(encoder.copy(buffer.slice(0, 64), buffer.slice(60, 64)).code() == Code::invalid_argument);
  CHECK(encoder.copy(buffer.slice(60, 64), buffer.slice(0, 64)).code() == Code::invalid_argument);
  CHECK(encoder.copy(buffer.slice(0, 64), buffer.slice(0, 64)).code() == Code::invalid_argument);
  CHECK(encoder.copy(buffer.slice(1000, 64), buffer.slice(0, 64)).code() == Code::invalid_argument);
  CHECK(encoder.copy({}, {nullptr, 0, 4}).code() == Code::invalid_argument);
  CHECK(encoder.commands().empty());
  CHECK(encoder.copy(buffer.slice(0, 64), buffer.slice(64, 64)).ok());
  CHECK(encoder.commands().size() == 1);
  CHECK_FALSE(encoder.commands()[0].barrier_before);
}

TEST_CASE_FIXTURE(Fixture, "encoder: rejects fills and uploads of odd sizes or outside the buffer") {
  Encoder encoder = device.encoder();
  const std::vector<std::byte> bytes(64);
  const std::span<const std::byte> view(bytes);
  const int64_t buffers = state.live_buffers;
  CHECK(encoder.fill(buffer.slice(0, 6), 1).code() == Code::invalid_argument);
  CHECK(encoder.fill(buffer.slice(1022, 4), 1).code() == Code::invalid_argument);
  CHECK(encoder.fill(buffer.slice(1024, 4), 1).code() == Code::invalid_argument);
  CHECK(encoder.upload(buffer.slice(0, 64), view.first(60)).code() == Code::invalid_argument);
  CHECK(encoder.upload(buffer.slice(0, 6), view.first(6)).code() == Code::invalid_argument);
  CHECK(encoder.upload(buffer.slice(1000, 64), view).code() == Code::invalid_argument);
  CHECK(encoder.upload({}, view).code() == Code::invalid_argument);
  CHECK(encoder.commands().empty());
  CHECK(state.live_buffers == buffers);
}

TEST_CASE_FIXTURE(Fixture, "encoder: transfers of nothing record nothing") {
  Encoder encoder = device.encoder();
  CHECK(encoder.copy({}, {}).ok());
  CHECK(encoder.fill(buffer.slice(1024, 0), 1).ok());
  CHECK(encoder.upload(buffer.slice(0, 0), {}).ok());
  CHECK(encoder.commands().empty());
}

TEST_CASE_FIXTURE(Fixture, "encoder: after submit or a move it refuses every call, and submit refuses it") {
  Encoder encoder = device.encoder();
  REQUIRE(encoder.fill(buffer.slice(), 0).ok());
  REQUIRE(device.submit(std::move(encoder)).ok());
  CHECK(encoder.fill(buffer.slice(), 0).code() == Code::invalid_argument);
  CHECK(encoder.copy(buffer.slice(0, 4), buffer.slice(4, 4)).code() == Code::invalid_argument);
  CHECK(encoder.upload(buffer.slice(0, 0), {}).code() == Code::invalid_argument);
  KernelCall call(KernelId::rms_norm);
  prepare(call);
  CHECK(encoder.dispatch(call.dispatch).code() == Code::invalid_argument);
  CHECK(encoder.commands().empty());
  CHECK(device.submit(std::move(encoder)).code() == Code::invalid_argument);
  CHECK(device.submit(other.encoder()).code() == Code::invalid_argument);
  CHECK(device.last_submitted() == 1);
}

}  // namespace
}  // namespace quire
