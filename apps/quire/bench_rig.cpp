#include "bench_rig.hpp"

#include <algorithm>

#include "generation.hpp"
#include "terminal.hpp"

namespace quire_app {

Outcome BenchRig::open(const ModelFlags& flags, KernelTimes times) {
  QUIRE_APP_TRY(open_engine(flags, times, engine_, &bound_workers_));
  QUIRE_APP_TRY(open_model(flags, engine_, model_));
  info_ = quire_cpp::sized<quire_model_info>();
  static_cast<void>(quire_model_get_info(model_.get(), &info_));
  return {};
}

std::vector<uint32_t> BenchRig::prompt(uint32_t sequence, uint32_t count) const {
  std::vector<uint32_t> ids(count);
  uint32_t state = 1 + sequence;
  for (uint32_t& id : ids) {
    state = state * 1664525u + 1013904223u;
    id = static_cast<uint32_t>((uint64_t{state} * info_.vocabulary) >> 32);
  }
  return ids;
}

Outcome BenchSessions::prepare(const BenchRig& rig, const BenchCase& one) {
  if (sessions_.empty() || !one.same_sessions(case_)) {
    handles_.clear();
    sessions_.clear();
    prompts_.assign(one.sequences, {});
    for (uint32_t s = 0; s < one.sequences; ++s) {
      QUIRE_APP_TRY(open_session(one.model, rig.model(), sessions_.emplace_back()));
      handles_.push_back(sessions_.back().get());
    }
  }
  case_ = one;
  for (uint32_t s = 0; s < one.sequences; ++s) prompts_[s] = rig.prompt(s, std::max(one.depth, 1u) + one.tokens);
  return {};
}

Outcome BenchSessions::check(size_t sequence, quire_status status) const {
  return status == QUIRE_OK ? Outcome{} : failure(status, Doing::generation, quire_session_last_error(handles_[sequence]));
}

Outcome BenchSessions::run_all() { return check(0, quire_sessions_run(handles_.data(), handles_.size(), keep_going_unless_interrupted, nullptr)); }

Outcome BenchSessions::append(size_t sequence, const uint32_t* tokens, size_t count, quire_phase phase) const {
  return check(sequence, quire_session_append(handles_[sequence], tokens, count, phase));
}

Outcome BenchSessions::go_to_depth(uint32_t depth) {
  for (size_t s = 0; s < handles_.size(); ++s) {
    quire_session_counts counts = quire_cpp::sized<quire_session_counts>();
    QUIRE_APP_TRY(check(s, quire_session_get_counts(handles_[s], &counts)));
    const uint32_t kept = std::min(counts.tokens, depth);
    if (counts.tokens > depth) QUIRE_APP_TRY(check(s, quire_session_truncate(handles_[s], depth)));
    if (kept < depth) QUIRE_APP_TRY(append(s, prompts_[s].data() + kept, depth - kept, QUIRE_PHASE_PROMPT));
  }
  // What stays may have to be computed again, where a window gave it back: here, and not while something is measured.
  return run_all();
}

Outcome BenchSessions::prefill() {
  for (size_t s = 0; s < handles_.size(); ++s) QUIRE_APP_TRY(append(s, prompts_[s].data() + case_.depth, case_.tokens, QUIRE_PHASE_PROMPT));
  QUIRE_APP_TRY(run_all());
  uint32_t token = 0;
  for (size_t s = 0; s < handles_.size(); ++s) QUIRE_APP_TRY(check(s, quire_session_sample(handles_[s], nullptr, &token)));
  return {};
}

Outcome BenchSessions::decode() {
  std::vector<uint32_t> tokens(handles_.size());
  for (size_t s = 0; s < handles_.size(); ++s) tokens[s] = prompts_[s][0];
  for (uint32_t i = 0; i < case_.tokens; ++i) {
    for (size_t s = 0; s < handles_.size(); ++s) QUIRE_APP_TRY(append(s, &tokens[s], 1, QUIRE_PHASE_GENERATED));
    QUIRE_APP_TRY(run_all());
    for (size_t s = 0; s < handles_.size(); ++s) QUIRE_APP_TRY(check(s, quire_session_sample(handles_[s], nullptr, &tokens[s])));
  }
  return {};
}

Outcome BenchSessions::run(RunTime& time) {
  QUIRE_APP_TRY(go_to_depth(case_.depth));
  const double cpu_before_s = thread_cpu_s();
  const Clock::time_point start = Clock::now();
  QUIRE_APP_TRY(case_.phase == BenchPhase::prefill ? prefill() : decode());
  time = {seconds_since(start), thread_cpu_s() - cpu_before_s};
  return {};
}

}  // namespace quire_app
