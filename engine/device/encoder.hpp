// Encoder: a checked list of dispatches and copies for one or more submissions, with the barriers they need.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/buffer.hpp"
#include "engine/device/kernel_manifest.hpp"
#include "engine/device/recording.hpp"

namespace quire {

/// A byte range that a command reads or writes without it being one of its bindings: pages reached through a table.
struct Access {
  BufferSlice slice;
  AccessMode mode = AccessMode::read;
};

/// What a command costs, for splitting submissions and for the bench's GB/s.
struct Work {
  uint64_t bytes = 0;  ///< moved from and to memory
  uint64_t macs = 0;   ///< multiply-accumulates
};

struct Dispatch {
  KernelVariant kernel;
  std::span<const std::byte> args;          ///< the kernel's argument struct; its addresses are ignored and filled from `bindings`
  std::span<const BufferSlice> bindings;    ///< one for each address field of the manifest, in its order
  std::span<const Access> indirect = {};    ///< memory reached through addresses stored on the device
  std::array<uint32_t, 3> groups = {1, 1, 1};
  Work work;
};

class BackendRecording;

/// One recorded command in backend-neutral form. Backends trust it: everything in it has been checked.
struct Command {
  enum class Kind : uint8_t { dispatch, copy, fill, replay };
  Kind kind = Kind::dispatch;
  bool barrier_before = false;              ///< everything recorded earlier must be complete and visible first
  KernelVariant kernel;                     ///< dispatch
  std::array<std::byte, 128> args{};        ///< dispatch: with addresses filled in
  std::array<uint32_t, 3> groups{};         ///< dispatch; a command with an empty grid is never recorded
  BufferSlice source;                       ///< copy
  BufferSlice destination;                  ///< copy, fill
  uint32_t fill_word = 0;                   ///< fill
  const BackendRecording* recording = nullptr;  ///< replay: one that the driver has; the encoder keeps it until it is submitted
  Work work;
};

enum class BarrierMode : uint8_t {
  tracked,  ///< a barrier where a command touches what an earlier one since the last barrier wrote, or writes what it read
  full,     ///< a barrier before every command (tests: results must not change)
};

class Encoder {
 public:
  Encoder(Encoder&&) noexcept;
  Encoder& operator=(Encoder&&) noexcept;
  ~Encoder();

  /// Records a kernel. An empty grid records nothing.
  /// On error: invalid_argument (wrong argument size or binding count, a slice outside its buffer or of another device, a grid or workgroup
  /// beyond the limits, an address that is not a multiple of 4); nothing is recorded.
  Status dispatch(const Dispatch& dispatch);
  /// Requires: equal sizes, multiples of 4, not overlapping.
  Status copy(BufferSlice source, BufferSlice destination);
  /// Requires: a multiple of 4 bytes.
  Status fill(BufferSlice destination, uint32_t word);
  /// Copies `bytes` (a multiple of 4) now into staging memory that lives until the submission completes, and records the copy to `destination`.
  Status upload(BufferSlice destination, std::span<const std::byte> bytes);

  /// Records all dispatches of `recording`, in their order. `accesses`: every byte that any of them reads or writes.
  /// On error: invalid_argument (an empty recording, another device's, an access outside its buffer); nothing is recorded.
  Status replay(const Recording& recording, std::span<const Access> accesses);

  std::span<const Command> commands() const;

 private:
  friend class Device;
  struct State;
  explicit Encoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace quire
