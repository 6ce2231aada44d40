#include "engine/device/null/null_device.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace quire {
namespace {

constexpr uint64_t kFirstAddress = 0x10000;
constexpr uint64_t kAddressAlignment = 256;

class NullBuffer final : public BackendBuffer {
 public:
  std::unique_ptr<std::byte[]> memory;
};

DeviceInfo null_device_info(const Limits& limits) {
  DeviceInfo info;
  info.backend = BackendKind::null_device;
  info.type = DeviceType::other;
  info.name = "null";
  info.driver = "quire";
  info.usable = true;
  info.limits = limits;
  return info;
}

class NullDevice final : public BackendDevice {
 public:
  explicit NullDevice(const NullOptions& options) : options_(options), info_(null_device_info(options.limits)) {
    info_.limits.host_visible_device_memory = options.host_visible_device_memory;
  }

  const DeviceInfo& info() const override { return info_; }

  Result<std::unique_ptr<BackendBuffer>> create_buffer(uint64_t size_bytes, BufferUse use, const char* label) override {
    auto buffer = std::make_unique<NullBuffer>();
    buffer->size_bytes = size_bytes;
    buffer->use = use;
    // Addresses are never used twice and never touch, so that two buffers cannot be mistaken for one another.
    buffer->address = next_address_;
    if (use != BufferUse::device || options_.host_visible_device_memory) {
      buffer->memory.reset(new (std::nothrow) std::byte[size_bytes]{});
      if (!buffer->memory)
        return make_error(Code::out_of_device_memory, "no host memory for %llu bytes of buffer %s",
                          static_cast<unsigned long long>(size_bytes), label);
      buffer->mapped = buffer->memory.get();
    }
    next_address_ += (size_bytes / kAddressAlignment + 2) * kAddressAlignment;
    return std::unique_ptr<BackendBuffer>(std::move(buffer));
  }

  Status prepare(const KernelVariant&) override { return {}; }

  Status submit(std::span<const Command>, uint64_t signal_value) override {
    submitted_ = signal_value;
    if (options_.completion == NullOptions::Completion::at_submit) completed_ = submitted_;
    return {};
  }

  Result<uint64_t> completed() override {
    if (options_.completion == NullOptions::Completion::after_polls && completed_ < submitted_ && ++polls_ >= options_.polls) {
      polls_ = 0;
      ++completed_;
    }
    return completed_;
  }

  Status wait(uint64_t timeline_value, std::chrono::nanoseconds) override {
    completed_ = std::max(completed_, timeline_value);
    return {};
  }

  Result<std::vector<KernelTiming>> take_timings() override { return std::vector<KernelTiming>(); }
  DeviceMemory memory() override { return {}; }
  Status save_pipeline_cache() override { return {}; }

 private:
  NullOptions options_;
  DeviceInfo info_;
  uint64_t next_address_ = kFirstAddress;
  uint64_t submitted_ = 0;
  uint64_t completed_ = 0;
  uint32_t polls_ = 0;
};

NullOptions null_options_from(const DeviceOptions& options) {
  NullOptions null_options;
  null_options.limits.integer_dot_product = true;
  if (options.adjust_limits) options.adjust_limits(null_options.limits);
  return null_options;
}

}  // namespace

std::unique_ptr<BackendDevice> make_null_device(const NullOptions& options) { return std::make_unique<NullDevice>(options); }

Result<std::vector<DeviceInfo>> list_null_devices(const DeviceOptions& options) {
  return std::vector<DeviceInfo>{null_device_info(null_options_from(options).limits)};
}

Result<std::unique_ptr<BackendDevice>> open_null_device(const DeviceOptions& options) { return make_null_device(null_options_from(options)); }

}  // namespace quire
