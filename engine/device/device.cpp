#include "engine/device/device.hpp"

#include <cmath>
#include <utility>

#include "engine/device/backend.hpp"
#include "engine/device/device_core.hpp"
#include "engine/device/encoder_state.hpp"
#include "engine/device/recording_state.hpp"

namespace quire {
namespace {

Status check_options(const DeviceOptions& options) {
  if (!std::isfinite(options.estimate_factor) || options.estimate_factor <= 0)
    return make_error(Code::invalid_argument, "estimate_factor %g is not a number above 0", options.estimate_factor);
  if (options.submission_bound && *options.submission_bound < std::chrono::nanoseconds::zero())
    return make_error(Code::invalid_argument, "submission_bound %lld ns is negative", static_cast<long long>(options.submission_bound->count()));
  return {};
}

Result<std::unique_ptr<BackendDevice>> open_backend(const DeviceOptions& options) {
  switch (options.backend) {
    case BackendKind::reference: return open_reference_device(options);
    case BackendKind::vulkan: return open_vulkan_device(options);
    case BackendKind::cuda: return open_cuda_device(options);
    case BackendKind::null_device: return open_null_device(options);
  }
  return make_error(Code::invalid_argument, "backend number %u does not exist", static_cast<unsigned>(options.backend));
}

}  // namespace

Result<std::vector<DeviceInfo>> Device::list(const DeviceOptions& options) {
  switch (options.backend) {
    case BackendKind::reference: return list_reference_devices(options);
    case BackendKind::vulkan: return list_vulkan_devices(options);
    case BackendKind::cuda: return list_cuda_devices(options);
    case BackendKind::null_device: return list_null_devices(options);
  }
  return make_error(Code::invalid_argument, "backend number %u does not exist", static_cast<unsigned>(options.backend));
}

Result<Device> Device::open(const DeviceOptions& options) {
  QUIRE_TRY(check_options(options));
  QUIRE_ASSIGN(std::unique_ptr<BackendDevice> backend, open_backend(options));
  return from_backend(std::move(backend), options);
}

Result<Device> Device::from_backend(std::unique_ptr<BackendDevice> backend, const DeviceOptions& options) {
  QUIRE_TRY(check_options(options));
  return Device(std::make_shared<DeviceCore>(std::move(backend), options));
}

Device::Device(std::shared_ptr<DeviceCore> core) : core_(std::move(core)) {}

Device::Device(Device&&) noexcept = default;

Device& Device::operator=(Device&& other) noexcept {
  if (this != &other) {
    if (core_) static_cast<void>(core_->wait_idle());
    core_ = std::move(other.core_);
  }
  return *this;
}

Device::~Device() {
  if (core_) static_cast<void>(core_->wait_idle());
}

const DeviceInfo& Device::info() const { return core_->info(); }

Result<Buffer> Device::create_buffer(uint64_t size_bytes, BufferUse use, const char* label) {
  QUIRE_ASSIGN(std::unique_ptr<BackendBuffer> buffer, core_->create_buffer(size_bytes, use, label));
  return Buffer(core_, std::move(buffer));
}

Status Device::prepare(const KernelVariant& kernel) { return core_->prepare(kernel); }

Encoder Device::encoder() { return Encoder(std::make_unique<Encoder::State>(core_)); }

Status Device::check_own(const Encoder& encoder, const char* call) const {
  QUIRE_TRY(core_->usable());
  if (!encoder.state_) return make_error(Code::invalid_argument, "%s: this encoder has been submitted or moved from", call);
  if (encoder.state_->core != core_) return make_error(Code::invalid_argument, "%s: this encoder belongs to another device", call);
  return {};
}

Result<Recording> Device::keep(Encoder&& encoder) {
  QUIRE_TRY(check_own(encoder, "keep"));
  if (!encoder.state_->recordings.empty()) return make_error(Code::invalid_argument, "keep: this encoder replays a recording");
  auto kept = std::make_unique<Recording::Kept>();
  kept->core = core_;
  for (const Command& command : encoder.commands()) {
    if (command.kind != Command::Kind::dispatch) return make_error(Code::invalid_argument, "keep: only dispatches can be kept");
    kept->work.bytes += command.work.bytes;
    kept->work.macs += command.work.macs;
  }
  QUIRE_ASSIGN(kept->commands, core_->keep(encoder.commands()));
  encoder.state_.reset();
  Recording recording;
  recording.kept_ = std::move(kept);
  return recording;
}

Result<uint64_t> Device::submit(Encoder&& encoder) {
  QUIRE_TRY(check_own(encoder, "submit"));
  QUIRE_ASSIGN(const uint64_t value, core_->submit(encoder.commands()));
  encoder.state_.reset();
  return value;
}

uint64_t Device::last_submitted() const { return core_->last_submitted(); }
Result<uint64_t> Device::completed() { return core_->completed(); }
Status Device::wait(uint64_t timeline_value, std::chrono::nanoseconds timeout) { return core_->wait(timeline_value, timeout); }
Result<std::vector<KernelTiming>> Device::take_timings() { return core_->take_timings(); }
DeviceMemory Device::memory() { return core_->memory(); }
uint64_t Device::submission_count() const { return core_->split_count(); }
Status Device::save_pipeline_cache() { return core_->save_pipeline_cache(); }
bool Device::lost() const { return core_->lost(); }

}  // namespace quire
