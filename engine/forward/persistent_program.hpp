// A decode step's dispatches as one list that persistent_step carries out in a single dispatch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire {

/// Operations and their argument structs, in one device buffer, and the kernel that runs them.
struct PersistentProgram {
  KernelVariant kernel;
  Buffer operations;               ///< StepOperation[operation_count], then the argument structs
  uint32_t operation_count = 0;
  uint64_t progress_bytes() const { return sizeof(StepProgress) + operation_count * sizeof(uint32_t); }
};

/// What a program is made of before it is on a device. Addresses of arguments count from the program's first byte.
struct PersistentPlan {
  KernelVariant kernel;
  std::vector<StepOperation> operations;
  std::vector<std::byte> arguments;
};

/// The dispatches of `commands` in order, with a wait where the encoder asked for a barrier. `lanes` is the workgroup of persistent_step.
/// On error: unsupported, naming the command that persistent_step has no body for, or whose specialization differs from an earlier one's.
Result<PersistentPlan> plan_persistent_program(std::span<const Command> commands, uint32_t lanes);

/// `operation_count` operations of `unit_count` units each that do nothing but wait until as many
/// workgroups run them: a probe.
PersistentPlan plan_waits(const KernelVariant& kernel, uint32_t operation_count, uint32_t unit_count);

/// Makes the program's buffer and records its upload. On error: out_of_device_memory.
Result<PersistentProgram> create_persistent_program(Device& device, PersistentPlan plan, Encoder& encoder);

}  // namespace quire
