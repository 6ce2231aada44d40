// Step: reserve pages, record both families, submit; later take the results. Whatever fails before the submit leaves every session as it was.
#include <algorithm>
#include <cstring>

#include "engine/generate/session_impl.hpp"
#include "engine/generate/step_plan.hpp"
#include "engine/generate/step_recording.hpp"

namespace quire {

struct Step::State {
  Model::Impl* model = nullptr;
  std::vector<FamilyPlan> plans;
  uint64_t timeline_value = 0;
  Buffer readback;                 ///< per run: its ArgmaxResult; then the rows of logits the host asked for
  uint64_t logits_offset_bytes = 0;
  uint64_t abandoned_offset_bytes = 0;  ///< in `readback`, if the step runs as one dispatch
  bool persistent = false;
  bool active = false;

  template <class F>
  void for_each_run(F&& f) {
    for (FamilyPlan& plan : plans)
      for (StepRun& run : plan.runs) f(plan, run);
  }
  /// Everything that the step computes, its pages being reserved.
  Status record(Encoder& encoder);
  /// After the device is done: true if the results count; false if the step was abandoned and runs again, the ordinary way.
  Result<bool> settle();
  void release() {
    for_each_run([](FamilyPlan&, StepRun& run) { run.session->impl().in_step = false; });
    model->in_step = false;
    active = false;
  }
};

Status Step::State::record(Encoder& encoder) {
  ResultCursor results{.readback = readback, .argmax_bytes = 0, .logits_bytes = logits_offset_bytes};
  for (const FamilyPlan& plan : plans) {
    QUIRE_TRY(record_step_tables(plan, *model, encoder));
    const std::vector<LogitsRound> rounds = logits_rounds(plan, *model);
    if (persistent || KeptSteps::takes(plan, rounds)) {
      QUIRE_TRY(persistent ? model->persistent.record(plan, rounds, *model, encoder, readback.slice(abandoned_offset_bytes, sizeof(uint32_t)))
                           : model->kept_steps.record(plan, rounds, *model, encoder));
      for (const LogitsRound& round : rounds) QUIRE_TRY(record_results(round, *model, encoder, results));
      continue;
    }
    QUIRE_ASSIGN(const Activation hidden, record_step_layers(plan, *model, encoder));
    for (const LogitsRound& round : rounds) {
      QUIRE_TRY(record_round(round, hidden, *model, encoder));
      QUIRE_TRY(record_results(round, *model, encoder, results));
    }
  }
  return {};
}

Result<bool> Step::State::settle() {
  if (!persistent) return true;
  uint32_t abandoned = 0;
  std::memcpy(&abandoned, readback.mapped().data() + abandoned_offset_bytes, sizeof abandoned);
  if (abandoned == 0) {
    model->persistent.note_complete();
    persistent = false;
    return true;
  }
  model->persistent.note_abandoned();
  persistent = false;
  Encoder encoder = model->device->encoder();
  QUIRE_TRY(record(encoder));
  QUIRE_ASSIGN(timeline_value, model->device->submit(std::move(encoder)));
  return false;
}

namespace {

/// Takes reservations back unless the step was submitted, whichever way begin() is left.
class Reservations {
 public:
  Reservations(Model::Impl& model, size_t most) : model_(model) { sequences_.reserve(most); }
  Reservations(const Reservations&) = delete;
  Reservations& operator=(const Reservations&) = delete;
  ~Reservations() {
    for (const SeqId sequence : sequences_) model_.cache->cancel(sequence, model_.device->last_submitted());
  }
  Status reserve(SeqId sequence, uint32_t count, Encoder& encoder) {
    QUIRE_TRY(model_.cache->reserve(sequence, count, encoder));
    sequences_.push_back(sequence);  // its place was made by the constructor
    return {};
  }
  void keep() { sequences_.clear(); }

 private:
  Model::Impl& model_;
  std::vector<SeqId> sequences_;
};

Status check_sessions(std::span<Session* const> sessions) {
  if (sessions.empty()) return make_error(Code::invalid_argument, "a step needs at least one session");
  for (size_t i = 0; i < sessions.size(); ++i) {
    if (&sessions[i]->model() != &sessions[0]->model()) return make_error(Code::invalid_argument, "the sessions of one step belong to different models");
    if (sessions[i]->impl().in_step) return make_error(Code::busy, "session %zu is part of a step that has not finished", i);
    if (std::find(sessions.begin(), sessions.begin() + static_cast<ptrdiff_t>(i), sessions[i]) != sessions.begin() + static_cast<ptrdiff_t>(i))
      return make_error(Code::invalid_argument, "session %zu is given twice", i);
  }
  if (sessions[0]->model().impl().in_step) return make_error(Code::busy, "another step of this model has not finished");
  return {};
}

}  // namespace

Step::Step(std::unique_ptr<State> state) : state_(std::move(state)) {}
Step::Step(Step&&) noexcept = default;
Step& Step::operator=(Step&& other) noexcept {
  if (this != &other) {
    cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}
Step::~Step() { cancel(); }

Result<Step> Step::begin(std::span<Session* const> sessions) {
  QUIRE_TRY(check_sessions(sessions));
  Model::Impl& model = sessions[0]->model().impl();
  auto state = std::make_unique<State>();
  state->model = &model;
  state->plans = plan_step(sessions, model);
  if (state->plans.empty()) return make_error(Code::invalid_argument, "no session has pending tokens");
  QUIRE_ASSIGN(const uint64_t completed, model.device->completed());
  model.cache->collect(completed);

  uint64_t host_rows = 0, argmax_rows = 0;
  state->for_each_run([&](FamilyPlan&, StepRun& run) {
    if (host_wants_logits(run)) {
      host_rows += run.logits_count();
      // finish() allocates nothing, so that it cannot stop half-way.
      Session::Impl& session = run.session->impl();
      session.host_logits.reserve(session.host_logits.size() + size_t{run.logits_count()} * model.hyper.vocabulary_size);
    }
    if (completes_session(run) && run.logits_count() > 0) ++argmax_rows;
  });
  state->logits_offset_bytes = argmax_rows * sizeof(ArgmaxResult);
  state->abandoned_offset_bytes = state->logits_offset_bytes + host_rows * model.hyper.vocabulary_size * sizeof(float);
  state->persistent = model.persistent.takes(state->plans);
  const uint64_t readback_bytes = state->abandoned_offset_bytes + (state->persistent ? sizeof(uint32_t) : 0);
  if (readback_bytes > 0) {
    QUIRE_ASSIGN(state->readback, model.device->create_buffer(readback_bytes, BufferUse::readback, "step results"));
  }

  Encoder encoder = model.device->encoder();
  Reservations reservations(model, sessions.size());
  const auto record = [&]() -> Result<uint64_t> {
    for (const FamilyPlan& plan : state->plans)
      for (const StepRun& run : plan.runs) {
        const SeqId sequence = run.session->impl().sequence;
        QUIRE_TRY(reservations.reserve(sequence, run.token_count, encoder));
        QUIRE_TRY(model.cache->upload_tables(sequence, encoder));
      }
    QUIRE_TRY(state->record(encoder));
    return model.device->submit(std::move(encoder));
  };
  QUIRE_ASSIGN(state->timeline_value, record());
  reservations.keep();
  state->active = true;
  model.in_step = true;
  state->for_each_run([](FamilyPlan&, StepRun& run) { run.session->impl().in_step = true; });
  return Step(std::move(state));
}

Result<bool> Step::poll() {
  if (!state_ || !state_->active) return true;
  QUIRE_ASSIGN(const uint64_t completed, state_->model->device->completed());
  if (completed < state_->timeline_value) return false;
  return state_->settle();
}

Status Step::finish(std::chrono::nanoseconds timeout) {
  if (!state_ || !state_->active) return {};
  Model::Impl& model = *state_->model;
  for (bool settled = false; !settled;) {
    Status waited = model.device->wait(state_->timeline_value, timeout);
    if (waited.code() == Code::timeout) return waited;
    if (waited.ok()) {
      Result<bool> answer = state_->settle();
      settled = answer.ok() && *answer;
      if (!answer.ok()) waited = answer.error();
    }
    if (!waited.ok()) {
      cancel();
      return waited;
    }
  }
  const std::byte* argmax = state_->readback ? state_->readback.mapped().data() : nullptr;
  const std::byte* rows = argmax + state_->logits_offset_bytes;
  state_->for_each_run([&](FamilyPlan&, StepRun& run) {
    Session::Impl& session = run.session->impl();
    model.cache->commit(session.sequence, run.token_count, state_->timeline_value);
    session.computed += run.token_count;
    if (host_wants_logits(run)) {
      const size_t floats = size_t{run.logits_count()} * model.hyper.vocabulary_size;
      const size_t old = session.host_logits.size();
      session.host_logits.resize(old + floats);
      std::memcpy(session.host_logits.data() + old, rows, floats * sizeof(float));
      rows += floats * sizeof(float);
      session.host_positions += run.logits_count();
    }
    if (session.computed == session.tokens.size() && run.logits_count() > 0) {
      std::memcpy(&session.newest_argmax, argmax, sizeof(ArgmaxResult));
      argmax += sizeof(ArgmaxResult);
      session.result_length = session.computed;
    }
  });
  state_->release();
  return {};
}

void Step::cancel() {
  if (!state_ || !state_->active) return;
  Model::Impl& model = *state_->model;
  state_->for_each_run([&](FamilyPlan&, StepRun& run) { model.cache->cancel(run.session->impl().sequence, state_->timeline_value); });
  state_->release();
}

Status run_steps(std::span<Session* const> sessions, std::chrono::nanoseconds timeout, const std::function<bool()>& keep_going) {
  const auto pending = [](const Session* session) { return session->pending() > 0; };
  while (std::any_of(sessions.begin(), sessions.end(), pending)) {
    if (keep_going && !keep_going()) return make_error(Code::cancelled, "stopped by the caller");
    QUIRE_ASSIGN(Step step, Step::begin(sessions));
    QUIRE_TRY(step.finish(timeout));
  }
  return {};
}

}  // namespace quire
