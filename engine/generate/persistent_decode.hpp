// Decode steps of one column as a single dispatch, on devices whose workers are seen to run at the same time. Seen by the files of engine/generate only.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/device/device.hpp"
#include "engine/forward/persistent_program.hpp"
#include "engine/generate/model.hpp"
#include "engine/generate/step_shape.hpp"

namespace quire {

struct FamilyPlan;
struct LogitsRound;

class PersistentDecode {
 public:
  /// Looks whether the model's decode step can run so on its device: kernels first, then a probe that counts the workers. Never fails: what stands
  /// against it is reported. Requires: `model` is complete but for this, and outlives it.
  static PersistentDecode start(Model::Impl& model, const ModelOptions& options);

  const PersistentReport& report() const { return report_; }

  /// Whether a step of these families can be recorded here: a single generated column.
  bool takes(std::span<const FamilyPlan> plans) const;
  /// Records the step's kernels as one dispatch, and afterwards a copy of StepProgress::abandoned to `abandoned` (4 bytes).
  /// Requires: takes(plan), at most one round. On error: as the kernels' recording.
  Status record(const FamilyPlan& plan, std::span<const LogitsRound> rounds, Model::Impl& model, Encoder& encoder, BufferSlice abandoned);
  /// A step that was recorded here is done; after the third that was abandoned there are no more.
  void note_complete() { ++report_.step_count; }
  void note_abandoned();

 private:
  struct Program {
    PersistentProgram program;
    Work work;
  };
  Status open(Model::Impl& model, const ModelOptions& options);
  Status count_workers(Model::Impl& model, const KernelVariant& kernel, uint32_t spin_bound);
  /// Whether so many workgroups were seen to run at the same time.
  Result<bool> run_together(Model::Impl& model, const KernelVariant& kernel, uint32_t worker_count, uint32_t spin_bound);
  Status run_program(Model::Impl& model, const PersistentProgram& program, std::span<const Access> accesses, Work work, uint32_t worker_count,
                     uint32_t spin_bound, Encoder& encoder, BufferSlice abandoned);
  Result<const Program*> program_for(const FamilyPlan& plan, std::span<const LogitsRound> rounds, Model::Impl& model);

  PersistentReport report_;
  uint32_t spin_bound_ = 0;
  Buffer progress_;
  std::map<StepShape, Program> programs_;
};

}  // namespace quire
