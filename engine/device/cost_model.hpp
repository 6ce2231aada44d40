// How long a command will take, roughly: only good for keeping submissions short. No result depends on it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/device/device.hpp"

namespace quire {

class CostModel {
 public:
  /// `factor` multiplies every estimate. Requires: factor > 0.
  CostModel(DeviceType type, double factor);

  /// The slower of moving the command's bytes and doing its multiply-accumulates, at least a launch; corrected by what observe() saw.
  double estimate_ns(const Command& command) const;
  /// Multiply-accumulates of one command that fit the bound, whatever the kernel: before anything was measured. Zero: no bound.
  uint64_t macs_within(std::chrono::nanoseconds bound) const;
  /// A measured time corrects later estimates of the same kernel.
  void observe(const KernelTiming& timing);

 private:
  double uncorrected_ns(const Work& work) const;
  double bytes_per_ns_;
  double macs_per_ns_;
  double factor_;
  std::array<double, kKernelCount> correction_;  ///< measured over estimated time, a running mean
};

/// How many of the commands, from the first on, fit one submission: at least one, and as many as stay within the bound. Requires: commands
/// is not empty.
size_t commands_within_bound(const CostModel& model, std::span<const Command> commands, std::chrono::nanoseconds bound);

/// 100 ms on a GPU, zero (no bound) on a CPU device: there nothing kills a long submission and nothing else waits for it.
std::chrono::nanoseconds default_submission_bound(DeviceType type);

}  // namespace quire
