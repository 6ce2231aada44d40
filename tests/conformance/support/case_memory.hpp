// The memory of one case on one device: regions in a few buffers, with poison in, between and around them, and the run itself.
//
// QUIRE_TEST_GUARD=pages, on a device whose addresses are the process's own (llvmpipe): every region ends before a page that kernels must not touch. One that
// reads past its operands ends the program by a segmentation fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/device/device.hpp"
#include "engine/forward/kernels.hpp"
#include "tests/conformance/support/test_devices.hpp"

namespace quire::conformance {

enum class RegionUse : uint8_t { input, output };

struct Region {
  uint32_t arena = 0;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
};

class CaseMemory {
 public:
  /// Poison before the first region, between any two and after the last.
  static constexpr uint64_t kGuardBytes = 512;

  explicit CaseMemory(TestDevice& device);

  /// Requires: before place(). `arena` is below kArenaCount: regions of different arenas lie in different device buffers.
  Region add(std::span<const std::byte> contents, uint32_t arena = 0);
  /// Poisoned, for results.
  Region add_output(uint64_t size_bytes, uint32_t arena = 0);
  Region add_poisoned(uint64_t size_bytes, RegionUse use, uint32_t arena = 0);

  /// Gives every region its address. No region may be added afterwards.
  void place();
  uint64_t address(const Region& region) const;
  BufferSlice slice(const Region& region) const;
  /// What the region will hold when the run starts. Requires: after place(), before run().
  std::span<std::byte> contents(const Region& region);

  /// Uploads, records, submits and reads back. Empty if all went well and every byte outside the output regions is unchanged, else one sentence.
  std::string run(const std::function<Status(Recorder)>& record);
  /// Requires: after run().
  std::span<const std::byte> after(const Region& region) const;

  TestDevice& device() { return device_; }

 private:
  struct Arena {
    std::vector<std::byte> image;
    std::vector<std::byte> result;
    std::vector<Region> outputs;
    std::vector<uint64_t> guard_pages;  ///< where they begin
  };
  std::string unexpected_writes() const;
  Status submit_and_wait(Encoder encoder);
  void protect_guard_pages(bool accessible) const;
  Status run_persistent(const std::function<Status(Recorder)>& record, Encoder& encoder);
  TestDevice& device_;
  uint64_t guard_page_bytes_ = 0;  ///< 0: no guard pages
  PersistentProgram program_;
  Buffer progress_;
  std::vector<Arena> arenas_ = std::vector<Arena>(kArenaCount);
};

}  // namespace quire::conformance
