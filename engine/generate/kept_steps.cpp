#include "engine/generate/kept_steps.hpp"

#include "engine/generate/step_recording.hpp"

namespace quire {
namespace {

/// One a session that decodes alone and one a number of sessions together, and new ones whenever a number of splits grows. Each takes some 100 KB.
constexpr size_t kMaxRecordings = 32;

}  // namespace

bool KeptSteps::takes(const FamilyPlan& plan, std::span<const LogitsRound> rounds) { return plan.phase == Phase::generated && rounds.size() <= 1; }

Status KeptSteps::record(const FamilyPlan& plan, std::span<const LogitsRound> rounds, Model::Impl& model, Encoder& encoder) {
  // Where dispatches are measured each step records its own: a recording states the work of the step it was made of.
  if (!in_driver_) return record_step_kernels(plan, rounds, model, encoder);
  StepShape shape = shape_of(plan, rounds);
  const std::vector<Access> accesses = step_accesses(rounds, model);
  if (const auto found = recordings_.find(shape); found != recordings_.end()) return encoder.replay(found->second, accesses);
  Encoder kernels = model.device->encoder();
  QUIRE_TRY(record_step_kernels(plan, rounds, model, kernels));
  QUIRE_ASSIGN(Recording recording, model.device->keep(std::move(kernels)));
  QUIRE_TRY(encoder.replay(recording, accesses));
  in_driver_ = recording.in_driver();
  if (!in_driver_) return {};
  if (recordings_.size() >= kMaxRecordings) recordings_.clear();
  recordings_.emplace(std::move(shape), std::move(recording));
  return {};
}

}  // namespace quire
