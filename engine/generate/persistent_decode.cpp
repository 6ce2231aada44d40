#include "engine/generate/persistent_decode.hpp"

#include <cstring>

#include "engine/generate/step_recording.hpp"

namespace quire {
namespace {

/// Reads of memory at one wait: seconds, far more than a worker that has lost its core for a while needs.
constexpr uint32_t kSpinBound = 1U << 26;
constexpr uint32_t kProbeSpinBound = 1U << 21;
constexpr uint32_t kProbeWaits = 16;
constexpr uint32_t kProbeAttempts = 3;
constexpr uint32_t kMaxWorkers = 32;
constexpr uint32_t kMaxAbandoned = 3;
/// Programs kept: one a session that decodes, and a new one whenever its number of splits grows.
constexpr size_t kMaxPrograms = 16;
constexpr std::chrono::minutes kProbeTimeout{5};  // a driver may compile the kernel when it first runs

/// A decode step of one column at slot 0, for what its kernels are: nothing of it runs.
Result<PersistentPlan> plan_of_first_token(Model::Impl& model) {
  const FamilyPlan plan{.phase = Phase::generated, .column_tile = 1, .runs = {StepRun{}}, .columns = {ColumnInfo{}}, .selection = {0},
                        .split_count = std::vector<uint32_t>(model.groups.size(), 1)};
  LogitsRound round{.rows = {LogitsRow{}}, .begin = 0, .logits = {}};
  const uint64_t row_bytes = uint64_t{model.hyper.vocabulary_size} * sizeof(float);
  round.logits = model.scratch->slice({model.scratch->layout().logits.offset_bytes, row_bytes});
  Encoder encoder = model.device->encoder();
  QUIRE_ASSIGN(const Activation hidden, record_step_layers(plan, model, encoder));
  QUIRE_TRY(record_round(round, hidden, model, encoder));
  return plan_persistent_program(encoder.commands(), model.variants.lanes);
}

}  // namespace

PersistentDecode PersistentDecode::start(Model::Impl& model, const ModelOptions& options) {
  PersistentDecode decode;
  const Status opened = decode.open(model, options);
  if (!opened.ok()) decode.report_.why_not = opened.error().message;
  return decode;
}

Status PersistentDecode::open(Model::Impl& model, const ModelOptions& options) {
  if (options.persistent_decode == PersistentChoice::off) return make_error(Code::unsupported, "turned off");
  const DeviceInfo& device = model.device->info();
  if (device.type != DeviceType::cpu) return make_error(Code::unsupported, "only on a processor do all workgroups of a dispatch run to their end by themselves");
  if (!device.limits.subgroup_broadcast || device.limits.subgroup_size != model.variants.lanes)
    return make_error(Code::unsupported, "the device's subgroups have no broadcasts, or another width than the kernels' %u lanes", model.variants.lanes);
  spin_bound_ = options.persistent_spin_bound.value_or(kSpinBound);
  QUIRE_ASSIGN(const PersistentPlan plan, plan_of_first_token(model));
  QUIRE_TRY(model.device->prepare(plan.kernel));
  return count_workers(model, plan.kernel, options.persistent_probe_spin_bound.value_or(kProbeSpinBound));
}

Status PersistentDecode::count_workers(Model::Impl& model, const KernelVariant& kernel, uint32_t spin_bound) {
  for (uint32_t workers = 2; workers <= kMaxWorkers; ++workers) {
    bool together = false;
    for (uint32_t attempt = 0; attempt < kProbeAttempts && !together; ++attempt) {
      QUIRE_ASSIGN(together, run_together(model, kernel, workers, spin_bound));
    }
    if (!together) break;
    report_.worker_count = workers;
  }
  if (report_.worker_count == 0) return make_error(Code::unsupported, "no two workgroups were seen to run at the same time");
  return {};
}

Result<bool> PersistentDecode::run_together(Model::Impl& model, const KernelVariant& kernel, uint32_t worker_count, uint32_t spin_bound) {
  QUIRE_ASSIGN(Buffer readback, model.device->create_buffer(sizeof(uint32_t), BufferUse::readback, "persistent probe"));
  Encoder encoder = model.device->encoder();
  QUIRE_ASSIGN(const PersistentProgram waits, create_persistent_program(*model.device, plan_waits(kernel, kProbeWaits, worker_count), encoder));
  QUIRE_TRY(run_program(model, waits, {}, {}, worker_count, spin_bound, encoder, readback.slice()));
  QUIRE_ASSIGN(const uint64_t value, model.device->submit(std::move(encoder)));
  QUIRE_TRY(model.device->wait(value, kProbeTimeout));
  uint32_t abandoned = 1;
  std::memcpy(&abandoned, readback.mapped().data(), sizeof abandoned);
  return abandoned == 0;
}

Status PersistentDecode::run_program(Model::Impl& model, const PersistentProgram& program, std::span<const Access> accesses, Work work, uint32_t worker_count,
                                     uint32_t spin_bound, Encoder& encoder, BufferSlice abandoned) {
  if (progress_.size_bytes() < program.progress_bytes()) {
    QUIRE_ASSIGN(progress_, model.device->create_buffer(program.progress_bytes(), BufferUse::device, "persistent progress"));
  }
  const PersistentRun run{progress_.slice(0, program.progress_bytes()), worker_count, spin_bound};
  QUIRE_TRY(encoder.fill(run.progress, 0));
  QUIRE_TRY(record_persistent_step({encoder, model.variants}, program, run, accesses, work));
  return encoder.copy(progress_.slice(offsetof(StepProgress, abandoned), sizeof(uint32_t)), abandoned);
}

bool PersistentDecode::takes(std::span<const FamilyPlan> plans) const {
  return report_.why_not.empty() && plans.size() == 1 && plans[0].phase == Phase::generated && plans[0].columns.size() == 1;
}

Result<const PersistentDecode::Program*> PersistentDecode::program_for(const FamilyPlan& plan, std::span<const LogitsRound> rounds, Model::Impl& model) {
  StepShape shape = shape_of(plan, rounds);
  if (const auto found = programs_.find(shape); found != programs_.end()) return &found->second;
  Encoder kernels = model.device->encoder();
  QUIRE_TRY(record_step_kernels(plan, rounds, model, kernels));
  QUIRE_ASSIGN(PersistentPlan persistent, plan_persistent_program(kernels.commands(), model.variants.lanes));
  Program program;
  for (const Command& command : kernels.commands()) {
    program.work.bytes += command.work.bytes;
    program.work.macs += command.work.macs;
  }
  // Submitted here and now: a program that is kept must not depend on whether this step is.
  Encoder upload = model.device->encoder();
  QUIRE_ASSIGN(program.program, create_persistent_program(*model.device, std::move(persistent), upload));
  QUIRE_TRY(model.device->submit(std::move(upload)));
  if (programs_.size() >= kMaxPrograms) programs_.clear();
  return &programs_.emplace(std::move(shape), std::move(program)).first->second;
}

Status PersistentDecode::record(const FamilyPlan& plan, std::span<const LogitsRound> rounds, Model::Impl& model, Encoder& encoder, BufferSlice abandoned) {
  QUIRE_ASSIGN(const Program* program, program_for(plan, rounds, model));
  return run_program(model, program->program, step_accesses(rounds, model), program->work, report_.worker_count, spin_bound_, encoder, abandoned);
}

void PersistentDecode::note_abandoned() {
  if (++report_.abandoned_count >= kMaxAbandoned) report_.why_not = "three steps were abandoned: a part of each did not end in time";
}

}  // namespace quire
