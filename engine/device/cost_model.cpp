#include "engine/device/cost_model.hpp"

#include <algorithm>

#include "engine/device/backend.hpp"

namespace quire {
namespace {

struct Rates {
  double bytes_per_ns;
  double macs_per_ns;
};

// What a slow device of each type reaches with plain kernels: an estimate that is too long costs a submission, one too short a watchdog.
constexpr Rates start_rates(DeviceType type) {
  switch (type) {
    case DeviceType::discrete: return {80, 400};
    case DeviceType::integrated: return {15, 40};
    case DeviceType::virtual_gpu: return {15, 40};
    case DeviceType::cpu: return {4, 4};
    case DeviceType::other: return {4, 4};
  }
  return {4, 4};
}

constexpr double kLaunchNs = 2000;

// One measurement moves the correction by a quarter of the way and never beyond these bounds: a clock that was asleep or a shared device
// should not decide alone.
constexpr double kObservationWeight = 0.25;
constexpr double kMinCorrection = 1.0 / 64;
constexpr double kMaxCorrection = 64;

}  // namespace

CostModel::CostModel(DeviceType type, double factor)
    : bytes_per_ns_(start_rates(type).bytes_per_ns), macs_per_ns_(start_rates(type).macs_per_ns), factor_(factor) {
  correction_.fill(1.0);
}

double CostModel::uncorrected_ns(const Work& work) const {
  return std::max({kLaunchNs, static_cast<double>(work.bytes) / bytes_per_ns_, static_cast<double>(work.macs) / macs_per_ns_});
}

double CostModel::estimate_ns(const Command& command) const {
  if (command.kind == Command::Kind::replay) {
    double total_ns = 0;
    for (const Command& dispatch : command.recording->commands) total_ns += estimate_ns(dispatch);
    return total_ns;
  }
  const double correction = command.kind == Command::Kind::dispatch ? correction_[static_cast<size_t>(command.kernel.id)] : 1.0;
  return factor_ * correction * uncorrected_ns(command.work);
}

uint64_t CostModel::macs_within(std::chrono::nanoseconds bound) const {
  if (bound <= std::chrono::nanoseconds::zero()) return UINT64_MAX;
  const double macs = static_cast<double>(bound.count()) * macs_per_ns_ / factor_;
  return macs < 1e18 ? static_cast<uint64_t>(macs) : UINT64_MAX;
}

void CostModel::observe(const KernelTiming& timing) {
  double& correction = correction_[static_cast<size_t>(timing.kernel.id)];
  const double measured = std::clamp(static_cast<double>(timing.gpu_ns) / uncorrected_ns(timing.work), kMinCorrection, kMaxCorrection);
  correction += kObservationWeight * (measured - correction);
}

size_t commands_within_bound(const CostModel& model, std::span<const Command> commands, std::chrono::nanoseconds bound) {
  if (bound <= std::chrono::nanoseconds::zero()) return commands.size();
  const auto bound_ns = static_cast<double>(bound.count());
  double total_ns = model.estimate_ns(commands[0]);
  size_t count = 1;
  for (; count < commands.size(); ++count) {
    total_ns += model.estimate_ns(commands[count]);
    if (total_ns > bound_ns) break;
  }
  return count;
}

std::chrono::nanoseconds default_submission_bound(DeviceType type) {
  return type == DeviceType::cpu ? std::chrono::nanoseconds::zero() : std::chrono::milliseconds(100);
}

}  // namespace quire
