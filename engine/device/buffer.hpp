// Device memory: Buffer owns it, BufferSlice borrows a checked part of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace quire {

class DeviceCore;
class BackendBuffer;

enum class BufferUse : uint8_t {
  device,    ///< kernels read and write it; mapped only where the device's memory is host-visible
  upload,    ///< the host writes it, the device copies from it or reads it; always mapped
  readback,  ///< the device writes it, the host reads it after a wait; always mapped
};

/// A byte range of a buffer. Valid as long as the Buffer it came from. An empty slice (no buffer) stands for "not bound".
struct BufferSlice {
  BackendBuffer* buffer = nullptr;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  explicit operator bool() const { return buffer != nullptr; }
};

/// Move-only owner. Destroying it while the device may still use it is allowed: the memory is given back when the last submission that was
/// made before its destruction has completed.
class Buffer {
 public:
  Buffer();
  Buffer(Buffer&&) noexcept;
  Buffer& operator=(Buffer&&) noexcept;
  ~Buffer();

  explicit operator bool() const { return buffer_ != nullptr; }
  uint64_t size_bytes() const;
  /// The whole buffer.
  BufferSlice slice() const;
  /// Requires: the range lies inside the buffer (checked again when a slice becomes an address: a wrong one is an error, never an access).
  BufferSlice slice(uint64_t offset_bytes, uint64_t size_bytes) const;
  /// Device address of the first byte, for tables that kernels follow. Host pointer on the reference backend.
  uint64_t address() const;
  /// Host view, or empty if the buffer is not mapped. Coherent: no flush is needed.
  std::span<std::byte> mapped() const;

 private:
  friend class Device;
  Buffer(std::shared_ptr<DeviceCore> core, std::unique_ptr<BackendBuffer> buffer);
  void retire();
  std::shared_ptr<DeviceCore> core_;  ///< keeps the backend alive until its last buffer is gone
  std::unique_ptr<BackendBuffer> buffer_;
};

}  // namespace quire
