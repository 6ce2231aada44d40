#include "engine/device/device_core.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/device/command_checks.hpp"

namespace quire {
namespace {

constexpr uint64_t kWhileEncodersOpen = std::numeric_limits<uint64_t>::max();
constexpr std::chrono::seconds kIdleTimeout{10};

/// Free staging blocks that stay allocated: enough for a few steps in flight and for uploading weights while reading the next.
constexpr size_t kKeptStagingBlocks = 4;

unsigned long long number(uint64_t value) { return value; }

}  // namespace

DeviceCore::DeviceCore(std::unique_ptr<BackendDevice> backend, const DeviceOptions& options)
    : backend_(std::move(backend)),
      info_(backend_->info()),
      barriers_(options.barriers),
      submission_bound_(options.submission_bound.value_or(default_submission_bound(info_.type))),
      cost_model_(info_.type, options.estimate_factor) {
  info_.limits.submission_macs = cost_model_.macs_within(submission_bound_);
}

DeviceCore::~DeviceCore() {
  if (wait_idle().code() != Code::timeout) return;
  // The device still runs and may still read its buffers: giving the memory back would be worse than losing it.
  for (Retired& retired : retired_) static_cast<void>(retired.buffer.release());
  staging_.abandon();
  static_cast<void>(backend_.release());
}

Status DeviceCore::usable() const {
  if (lost_) return make_error(Code::device_lost, "device %s is lost", info().name.c_str());
  return {};
}

Result<std::unique_ptr<BackendBuffer>> DeviceCore::create_buffer(uint64_t size_bytes, BufferUse use, const char* label) {
  QUIRE_TRY(usable());
  if (size_bytes == 0) return make_error(Code::invalid_argument, "buffer %s has 0 bytes", label);
  if (size_bytes > limits().max_buffer_bytes)
    return make_error(Code::invalid_argument, "buffer %s of %llu bytes is larger than this device's largest buffer, %llu bytes", label,
                      number(size_bytes), number(limits().max_buffer_bytes));
  return allocate(size_bytes, use, label);
}

Result<std::unique_ptr<BackendBuffer>> DeviceCore::allocate(uint64_t size_bytes, BufferUse use, const char* label) {
  if (buffer_count_ >= limits().max_buffer_count) poll();
  if (buffer_count_ >= limits().max_buffer_count)
    return make_error(Code::out_of_device_memory, "buffer %s would be number %llu, and this device allows %u at once", label,
                      number(buffer_count_ + 1), limits().max_buffer_count);
  // retire() is called by destructors: it finds its place in the list already allocated.
  if (retired_.capacity() <= buffer_count_) retired_.reserve(2 * buffer_count_ + 16);

  auto buffer = noted(backend_->create_buffer(size_bytes, use, label));
  if (buffer.code() == Code::out_of_device_memory) {
    // Memory that the device has finished with may be what is missing.
    const uint64_t before = buffer_bytes_;
    poll();
    for (auto& block : staging_.trim(completed_, 0)) free_staging(std::move(block));
    if (buffer_bytes_ < before) buffer = noted(backend_->create_buffer(size_bytes, use, label));
  }
  if (!buffer) return buffer;
  (*buffer)->owner = this;
  buffer_bytes_ += size_bytes;
  ++buffer_count_;
  return buffer;
}

void DeviceCore::free_buffer(std::unique_ptr<BackendBuffer> buffer) {
  buffer_bytes_ -= buffer->size_bytes;
  --buffer_count_;
}

void DeviceCore::free_staging(std::unique_ptr<BackendBuffer> block) {
  staging_bytes_ -= block->size_bytes;
  --staging_count_;
  free_buffer(std::move(block));
}

void DeviceCore::retire(std::unique_ptr<BackendBuffer> buffer) {
  if (open_encoders_ == 0 && last_submitted_ <= completed_) {
    free_buffer(std::move(buffer));
    return;
  }
  retired_.push_back({std::move(buffer), open_encoders_ == 0 ? last_submitted_ : kWhileEncodersOpen});
}

void DeviceCore::encoder_closed() {
  if (--open_encoders_ > 0) return;
  for (Retired& retired : retired_)
    if (retired.timeline_value == kWhileEncodersOpen) retired.timeline_value = last_submitted_;
  reached(completed_);
}

Result<StagingBlock> DeviceCore::take_staging() {
  QUIRE_TRY(usable());
  std::unique_ptr<BackendBuffer> block = staging_.take(completed_);
  if (!block) {
    poll();
    block = staging_.take(completed_);
  }
  if (!block) {
    const uint64_t size_bytes = std::min(kStagingBlockBytes, limits().max_buffer_bytes / kStagingAlignment * kStagingAlignment);
    if (size_bytes == 0)
      return make_error(Code::unsupported, "buffers of at most %llu bytes leave no room for staging", number(limits().max_buffer_bytes));
    QUIRE_ASSIGN(block, allocate(size_bytes, BufferUse::upload, "staging"));
    staging_bytes_ += size_bytes;
    ++staging_count_;
  }
  return StagingBlock{std::move(block), 0};
}

void DeviceCore::return_staging(StagingBlock block) { staging_.give_back(std::move(block.buffer), last_submitted_); }

Status DeviceCore::prepare(const KernelVariant& kernel) {
  QUIRE_TRY(usable());
  QUIRE_TRY(check_kernel_variant(kernel, limits()));
  return noted(backend_->prepare(kernel));
}

Result<std::shared_ptr<BackendRecording>> DeviceCore::keep(std::span<const Command> dispatches) {
  QUIRE_TRY(usable());
  return noted(backend_->keep(dispatches));
}

bool DeviceCore::fit_one_submission(std::span<const Command> commands) const {
  return commands_within_bound(cost_model_, commands, submission_bound_) == commands.size();
}

Result<uint64_t> DeviceCore::submit(std::span<const Command> commands) {
  QUIRE_TRY(usable());
  const size_t first = commands.empty() ? 0 : commands_within_bound(cost_model_, commands, submission_bound_);
  QUIRE_TRY(submit_part(commands.first(first)));
  for (commands = commands.subspan(first); !commands.empty();) {
    const auto part = commands.first(commands_within_bound(cost_model_, commands, submission_bound_));
    Status submitted = submit_part(part);
    if (!submitted && !lost_) {
      // The parts before cannot be taken back. What was missing may be there once they have run; if not, nothing can be relied on.
      if (wait_idle()) submitted = submit_part(part);
      if (!submitted) lost_ = true;
    }
    if (!submitted)
      return make_error(Code::device_lost, "a later part of a submission failed, which leaves it half done: %s",
                        submitted.error().message.c_str());
    ++split_count_;
    commands = commands.subspan(part.size());
  }
  poll();
  return last_submitted_;
}

Status DeviceCore::submit_part(std::span<const Command> commands) {
  QUIRE_TRY(noted(backend_->submit(commands, last_submitted_ + 1)));
  ++last_submitted_;
  return {};
}

void DeviceCore::poll() {
  if (lost_ || completed_ == last_submitted_) return;
  if (const auto value = noted(backend_->completed())) reached(*value);
}

void DeviceCore::reached(uint64_t timeline_value) {
  completed_ = std::max(completed_, std::min(timeline_value, last_submitted_));
  for (Retired& retired : retired_)
    if (retired.timeline_value <= completed_) free_buffer(std::move(retired.buffer));
  std::erase_if(retired_, [](const Retired& retired) { return retired.buffer == nullptr; });
  for (auto& block : staging_.trim(completed_, kKeptStagingBlocks)) free_staging(std::move(block));
}

Result<uint64_t> DeviceCore::completed() {
  QUIRE_TRY(usable());
  QUIRE_ASSIGN(const uint64_t value, noted(backend_->completed()));
  reached(value);
  return completed_;
}

Status DeviceCore::wait(uint64_t timeline_value, std::chrono::nanoseconds timeout) {
  QUIRE_TRY(usable());
  if (timeline_value > last_submitted_)
    return make_error(Code::invalid_argument, "timeline value %llu was never handed out: the last is %llu", number(timeline_value),
                      number(last_submitted_));
  if (timeline_value <= completed_) return {};
  QUIRE_TRY(noted(backend_->wait(timeline_value, timeout)));
  reached(timeline_value);
  return {};
}

Status DeviceCore::wait_idle() { return wait(last_submitted_, kIdleTimeout); }

Result<std::vector<KernelTiming>> DeviceCore::take_timings() {
  QUIRE_TRY(usable());
  auto timings = noted(backend_->take_timings());
  if (timings)
    for (const KernelTiming& timing : *timings) cost_model_.observe(timing);
  return timings;
}

DeviceMemory DeviceCore::memory() {
  poll();
  DeviceMemory memory = lost_ ? DeviceMemory{} : backend_->memory();
  memory.buffer_bytes = buffer_bytes_ - staging_bytes_;
  memory.buffer_count = buffer_count_ - staging_count_;
  memory.staging_bytes = staging_bytes_;
  return memory;
}

Status DeviceCore::save_pipeline_cache() {
  QUIRE_TRY(usable());
  return noted(backend_->save_pipeline_cache());
}

}  // namespace quire
