#include "engine/device/buffer.hpp"

#include <utility>

#include "engine/device/device_core.hpp"

namespace quire {

Buffer::Buffer(std::shared_ptr<DeviceCore> core, std::unique_ptr<BackendBuffer> buffer) : core_(std::move(core)), buffer_(std::move(buffer)) {}

Buffer::Buffer() = default;

Buffer::Buffer(Buffer&&) noexcept = default;

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    retire();
    core_ = std::move(other.core_);
    buffer_ = std::move(other.buffer_);
  }
  return *this;
}

Buffer::~Buffer() { retire(); }

void Buffer::retire() {
  if (buffer_) core_->retire(std::move(buffer_));
  core_.reset();
}

uint64_t Buffer::size_bytes() const { return buffer_ ? buffer_->size_bytes : 0; }

BufferSlice Buffer::slice() const { return {buffer_.get(), 0, size_bytes()}; }

BufferSlice Buffer::slice(uint64_t offset_bytes, uint64_t size_bytes) const { return {buffer_.get(), offset_bytes, size_bytes}; }

uint64_t Buffer::address() const { return buffer_ ? buffer_->address : 0; }

std::span<std::byte> Buffer::mapped() const {
  if (!buffer_ || !buffer_->mapped) return {};
  return {buffer_->mapped, buffer_->size_bytes};
}

}  // namespace quire
