// A backend that the test steers: it keeps what it was given, completes when told, and fails the call it is told to.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/device/backend.hpp"

namespace quire {

/// Outlives the device that is made over it.
struct FakeState {
  struct Submission {
    std::vector<Command> commands;
    uint64_t value = 0;
  };
  DeviceInfo info;
  uint64_t calls = 0;                         ///< of any method that can fail
  std::optional<uint64_t> fail_at_call;       ///< counted like `calls`, from 0
  std::optional<uint64_t> fail_from_call;     ///< this one and all later ones
  Code fail_code = Code::out_of_device_memory;
  std::vector<Submission> submissions;
  uint64_t completed = 0;
  bool wait_completes = true;                 ///< false: wait() answers timeout
  int64_t live_buffers = 0;
  uint64_t live_bytes = 0;
  bool maps_device_buffers = true;
  bool keeps_recordings = false;              ///< in a form of its own
  uint64_t memory_bytes = UINT64_MAX;         ///< more live bytes than this are out_of_device_memory
  std::vector<KernelTiming> timings;

  FakeState() {
    info.name = "fake";
    info.type = DeviceType::discrete;
    info.usable = true;
  }
  Status next_call() {
    const uint64_t call = calls++;
    if (fail_at_call == call || (fail_from_call && call >= *fail_from_call))
      return make_error(fail_code, "call %llu was told to fail", static_cast<unsigned long long>(call));
    return {};
  }
};

class FakeBuffer final : public BackendBuffer {
 public:
  FakeBuffer(FakeState& state, uint64_t bytes) : memory(bytes), state_(state) {
    size_bytes = bytes;
    mapped = memory.data();
    address = reinterpret_cast<uint64_t>(mapped);
    ++state_.live_buffers;
    state_.live_bytes += bytes;
  }
  FakeBuffer(const FakeBuffer&) = delete;
  FakeBuffer& operator=(const FakeBuffer&) = delete;
  ~FakeBuffer() override {
    --state_.live_buffers;
    state_.live_bytes -= size_bytes;
  }
  std::vector<std::byte> memory;

 private:
  FakeState& state_;
};

class FakeBackend final : public BackendDevice {
 public:
  explicit FakeBackend(FakeState& state) : state_(state) {}
  const DeviceInfo& info() const override { return state_.info; }
  Result<std::unique_ptr<BackendBuffer>> create_buffer(uint64_t size_bytes, BufferUse use, const char*) override {
    QUIRE_TRY(state_.next_call());
    if (state_.live_bytes + size_bytes > state_.memory_bytes) return make_error(Code::out_of_device_memory, "the fake device is full");
    auto buffer = std::make_unique<FakeBuffer>(state_, size_bytes);
    buffer->use = use;
    if (use == BufferUse::device && !state_.maps_device_buffers) buffer->mapped = nullptr;
    return std::unique_ptr<BackendBuffer>(std::move(buffer));
  }
  Status prepare(const KernelVariant&) override { return state_.next_call(); }
  Result<std::shared_ptr<BackendRecording>> keep(std::span<const Command> commands) override {
    QUIRE_TRY(state_.next_call());
    QUIRE_ASSIGN(std::shared_ptr<BackendRecording> recording, BackendDevice::keep(commands));
    recording->in_driver = state_.keeps_recordings;
    return recording;
  }
  Status submit(std::span<const Command> commands, uint64_t signal_value) override {
    QUIRE_TRY(state_.next_call());
    state_.submissions.push_back({{commands.begin(), commands.end()}, signal_value});
    return {};
  }
  Result<uint64_t> completed() override {
    QUIRE_TRY(state_.next_call());
    return state_.completed;
  }
  Status wait(uint64_t timeline_value, std::chrono::nanoseconds) override {
    QUIRE_TRY(state_.next_call());
    if (!state_.wait_completes) return make_error(Code::timeout, "the fake device was told not to complete");
    state_.completed = std::max(state_.completed, timeline_value);
    return {};
  }
  Result<std::vector<KernelTiming>> take_timings() override {
    QUIRE_TRY(state_.next_call());
    return std::exchange(state_.timings, {});
  }
  DeviceMemory memory() override { return {}; }
  Status save_pipeline_cache() override { return state_.next_call(); }

 private:
  FakeState& state_;
};

inline Device fake_device(FakeState& state, const DeviceOptions& options = {}) {
  return Device::from_backend(std::make_unique<FakeBackend>(state), options).value();
}

inline Buffer make_buffer(Device& device, uint64_t size_bytes) {
  return device.create_buffer(size_bytes, BufferUse::device, "test").value();
}

/// Arguments of zeros and a workgroup of one: enough to record any kernel.
class KernelCall {
 public:
  explicit KernelCall(KernelId id) : args_(kernel_info(id).args_bytes), bindings_(kernel_info(id).addresses.size()) {
    dispatch.kernel.id = id;
    if (!kernel_info(id).weight_types.empty()) dispatch.kernel.weight = kernel_info(id).weight_types.front();
    dispatch.kernel.spec[0] = 1;
    dispatch.args = args_;
    dispatch.bindings = bindings_;
  }
  KernelCall(const KernelCall&) = delete;
  KernelCall& operator=(const KernelCall&) = delete;
  KernelCall& bind(size_t index, BufferSlice slice) {
    bindings_[index] = slice;
    return *this;
  }
  std::vector<std::byte>& args() { return args_; }

  Dispatch dispatch;

 private:
  std::vector<std::byte> args_;
  std::vector<BufferSlice> bindings_;
};

}  // namespace quire
