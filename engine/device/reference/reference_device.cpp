// The reference backend: buffers are host memory, commands run at once, in order, on the calling thread. It is the oracle of the conformance
// tests, not a product.
#include "engine/device/reference/reference_kernels.hpp"

#include <cstring>
#include <new>
#include <utility>

#include "engine/device/backend.hpp"

namespace quire {
namespace {

constexpr std::align_val_t kBufferAlignment{64};

/// Every byte 0xff: NaN as f16 and as f32, so that a kernel that reads what nothing wrote shows it.
constexpr int kUnwrittenByte = 0xff;

class ReferenceBuffer final : public BackendBuffer {
 public:
  ReferenceBuffer() = default;
  ReferenceBuffer(const ReferenceBuffer&) = delete;
  ReferenceBuffer& operator=(const ReferenceBuffer&) = delete;
  ~ReferenceBuffer() override { ::operator delete(mapped, kBufferAlignment); }
};

DeviceInfo reference_device_info(const DeviceOptions& options) {
  DeviceInfo info;
  info.backend = BackendKind::reference;
  info.type = DeviceType::cpu;
  info.name = "reference";
  info.driver = "quire";
  info.usable = true;
  info.limits.max_workgroup_invocations = 1024;
  info.limits.max_buffer_bytes = uint64_t{1} << 32;
  info.limits.max_buffer_count = 1u << 20;
  info.limits.host_visible_device_memory = true;
  info.limits.integer_dot_product = true;
  info.limits.weight_layout = WeightLayout::file_blocks;
  if (options.adjust_limits) options.adjust_limits(info.limits);
  return info;
}

void run_command(const Command& command) {
  switch (command.kind) {
    case Command::Kind::dispatch:
      run_reference_kernel(command);
      break;
    case Command::Kind::copy:
      std::memcpy(command.destination.buffer->mapped + command.destination.offset_bytes,
                  command.source.buffer->mapped + command.source.offset_bytes, command.destination.size_bytes);
      break;
    case Command::Kind::fill: {
      std::byte* destination = command.destination.buffer->mapped + command.destination.offset_bytes;
      for (uint64_t offset = 0; offset < command.destination.size_bytes; offset += sizeof(uint32_t))
        std::memcpy(destination + offset, &command.fill_word, sizeof(uint32_t));
      break;
    }
    case Command::Kind::replay:
      for (const Command& dispatch : command.recording->commands) run_command(dispatch);
      break;
  }
}

class ReferenceDevice final : public BackendDevice {
 public:
  explicit ReferenceDevice(const DeviceOptions& options) : info_(reference_device_info(options)), timestamps_(options.timestamps) {}

  const DeviceInfo& info() const override { return info_; }

  Result<std::unique_ptr<BackendBuffer>> create_buffer(uint64_t size_bytes, BufferUse use, const char* label) override {
    auto buffer = std::make_unique<ReferenceBuffer>();
    // Exactly the size asked for, so that the address sanitizer sees an access one byte past the end.
    buffer->mapped = static_cast<std::byte*>(::operator new(size_bytes, kBufferAlignment, std::nothrow));
    if (!buffer->mapped)
      return make_error(Code::out_of_device_memory, "no host memory for %llu bytes of buffer %s", static_cast<unsigned long long>(size_bytes),
                        label);
    std::memset(buffer->mapped, kUnwrittenByte, size_bytes);
    buffer->size_bytes = size_bytes;
    buffer->use = use;
    buffer->address = reinterpret_cast<uint64_t>(buffer->mapped);
    return std::unique_ptr<BackendBuffer>(std::move(buffer));
  }

  Status prepare(const KernelVariant&) override { return {}; }

  Status submit(std::span<const Command> commands, uint64_t signal_value) override {
    for (const Command& command : commands) {
      if (!timestamps_) {
        run_command(command);
        continue;
      }
      const auto start = std::chrono::steady_clock::now();
      run_command(command);
      const auto elapsed = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start);
      if (command.kind == Command::Kind::dispatch)
        timings_.push_back({command.kernel, static_cast<uint64_t>(elapsed.count()), command.work});
    }
    completed_ = signal_value;
    return {};
  }

  Result<uint64_t> completed() override { return completed_; }
  Status wait(uint64_t, std::chrono::nanoseconds) override { return {}; }
  Result<std::vector<KernelTiming>> take_timings() override { return std::exchange(timings_, {}); }
  DeviceMemory memory() override { return {}; }
  Status save_pipeline_cache() override { return {}; }

 private:
  DeviceInfo info_;
  bool timestamps_;
  uint64_t completed_ = 0;
  std::vector<KernelTiming> timings_;
};

}  // namespace

Result<std::vector<DeviceInfo>> list_reference_devices(const DeviceOptions& options) {
  return std::vector<DeviceInfo>{reference_device_info(options)};
}

Result<std::unique_ptr<BackendDevice>> open_reference_device(const DeviceOptions& options) {
  return std::unique_ptr<BackendDevice>(std::make_unique<ReferenceDevice>(options));
}

}  // namespace quire
