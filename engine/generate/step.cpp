// Step: reserve pages, record both families, submit; later take the results. Whatever fails before the submit leaves every session as it was.
#include <algorithm>
#include <cstring>

#include "engine/generate/session_impl.hpp"
#include "engine/generate/step_plan.hpp"

namespace quire {

struct Step::State {
  Model::Impl* model = nullptr;
  std::vector<FamilyPlan> plans;
  uint64_t timeline_value = 0;
  Buffer readback;                 ///< per run: its ArgmaxResult; then the rows of logits the host asked for
  uint64_t logits_offset_bytes = 0;
  bool active = false;

  template <class F>
  void for_each_run(F&& f) {
    for (FamilyPlan& plan : plans)
      for (StepRun& run : plan.runs) f(plan, run);
  }
  void release() {
    for_each_run([](FamilyPlan&, StepRun& run) { run.session->impl().in_step = false; });
    model->in_step = false;
    active = false;
  }
};

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

bool completes_session(const StepRun& run) { return run.first_token + run.token_count == run.session->impl().tokens.size(); }
bool host_wants_logits(const StepRun& run) { return run.session->impl().request.logits_last > 1; }

template <class T>
Status upload_array(Encoder& encoder, const StepTableBuffer& tables, const ScratchLayout::Range& range, const std::vector<T>& values) {
  if (values.empty()) return {};
  return encoder.upload(tables.slice(range, values.size() * sizeof(T)), std::as_bytes(std::span(values)));
}

Status upload_tables(Model::Impl& model, const FamilyPlan& plan, Encoder& encoder) {
  const StepTableBuffer& tables = *model.tables;
  QUIRE_TRY(upload_array(encoder, tables, tables.layout.columns, plan.columns));
  for (uint32_t g = 0; g < model.groups.size(); ++g) {
    std::vector<SequenceInfo> sequences;
    for (const StepRun& run : plan.runs) sequences.push_back(model.cache->sequence_info(run.session->impl().sequence, g));
    QUIRE_TRY(upload_array(encoder, tables, tables.layout.sequences[g], sequences));
  }
  for (size_t kind = 0; kind < model.ropes.size(); ++kind)
    QUIRE_TRY(upload_array(encoder, tables, tables.layout.rope[kind], rope_angles(plan.columns, model.ropes[kind])));
  return upload_array(encoder, tables, tables.layout.selection, plan.selection);
}

/// Where a row of logits goes: to its session if it is the newest token's, and to the host if it asked for several.
struct LogitsRow {
  const StepRun* run = nullptr;
  uint32_t token = 0;
};

class StepRecorder {
 public:
  StepRecorder(Model::Impl& model, Encoder& encoder, const Buffer& readback, uint64_t logits_offset_bytes)
      : model_(model), encoder_(encoder), readback_(readback), host_row_bytes_(logits_offset_bytes) {}

  Status record(FamilyPlan& plan) {
    QUIRE_TRY(upload_tables(model_, plan, encoder_));
    const StepTableBuffer& tables = *model_.tables;
    const auto column_count = static_cast<uint32_t>(plan.columns.size());
    std::vector<BufferSlice> sequences;
    for (const ScratchLayout::Range& range : tables.layout.sequences) sequences.push_back(tables.slice(range, plan.runs.size() * sizeof(SequenceInfo)));
    std::vector<BufferSlice> rope;
    for (const ScratchLayout::Range& range : tables.layout.rope)
      rope.push_back(tables.slice(range, uint64_t{column_count} * model_.hyper.rope_dimension_count * sizeof(float)));
    uint32_t most_slots = 0;
    for (const ColumnInfo& column : plan.columns) most_slots = std::max(most_slots, column.slot + 1);
    const StepInput input{.column_count = column_count,
                          .column_tile = plan.column_tile,
                          .columns = tables.slice(tables.layout.columns, uint64_t{column_count} * sizeof(ColumnInfo)),
                          .sequences = sequences,
                          .rope = rope,
                          .pages = model_.cache->slabs(),
                          .most_slots = most_slots,
                          .split_count = plan.split_count};
    QUIRE_ASSIGN(const Activation hidden, record_layers({encoder_, model_.variants}, model_.hyper, *model_.weights, model_.layers, input, *model_.scratch));
    return record_rows(plan, hidden);
  }

 private:
  Status record_rows(const FamilyPlan& plan, const Activation& hidden) {
    std::vector<LogitsRow> rows;
    for (const StepRun& run : plan.runs)
      for (uint32_t i = 0; i < run.logits_count(); ++i) rows.push_back({&run, run.first_logits_token + i});
    for (uint32_t begin = 0; begin < rows.size(); begin += kLogitRows) {
      const auto count = std::min(kLogitRows, static_cast<uint32_t>(rows.size()) - begin);
      QUIRE_TRY(record_round(hidden, std::span(rows).subspan(begin, count), begin));
    }
    return {};
  }

  Status record_round(const Activation& hidden, std::span<const LogitsRow> rows, uint32_t begin) {
    const auto count = static_cast<uint32_t>(rows.size());
    const StepTableBuffer& tables = *model_.tables;
    const ScratchLayout& at = model_.scratch->layout();
    const uint64_t row_bytes = uint64_t{model_.hyper.vocabulary_size} * sizeof(float);
    const auto is_newest = [](const LogitsRow& row) { return completes_session(*row.run) && row.token + 1 == row.run->first_token + row.run->token_count; };
    // One row that only its session wants is computed in place; otherwise rows are computed side by side and copied out.
    const bool in_place = count == 1 && is_newest(rows[0]) && !host_wants_logits(*rows[0].run);
    const BufferSlice logits =
        in_place ? rows[0].run->session->impl().newest_logits.slice() : model_.scratch->slice({at.logits.offset_bytes, count * row_bytes});
    const BufferSlice selection = tables.buffer.slice(tables.layout.selection.offset_bytes + uint64_t{begin} * sizeof(uint32_t), count * sizeof(uint32_t));
    const BufferSlice results = tables.slice(tables.layout.argmax, count * sizeof(ArgmaxResult));
    QUIRE_TRY(record_logits({encoder_, model_.variants}, model_.hyper, *model_.weights, hidden, selection, count, logits, *model_.scratch));
    QUIRE_TRY(record_argmax({encoder_, model_.variants}, Activation{logits, model_.hyper.vocabulary_size, count, 1}, results));
    for (uint32_t i = 0; i < count; ++i) {
      const BufferSlice row{logits.buffer, logits.offset_bytes + i * row_bytes, row_bytes};
      if (host_wants_logits(*rows[i].run)) {
        QUIRE_TRY(encoder_.copy(row, readback_.slice(host_row_bytes_, row_bytes)));
        host_row_bytes_ += row_bytes;
      }
      if (!is_newest(rows[i])) continue;
      if (!in_place) QUIRE_TRY(encoder_.copy(row, rows[i].run->session->impl().newest_logits.slice()));
      QUIRE_TRY(encoder_.copy(tables.buffer.slice(tables.layout.argmax.offset_bytes + i * sizeof(ArgmaxResult), sizeof(ArgmaxResult)),
                              readback_.slice(argmax_bytes_, sizeof(ArgmaxResult))));
      argmax_bytes_ += sizeof(ArgmaxResult);
    }
    return {};
  }

  Model::Impl& model_;
  Encoder& encoder_;
  const Buffer& readback_;
  uint64_t host_row_bytes_;
  uint64_t argmax_bytes_ = 0;
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
  const uint64_t readback_bytes = state->logits_offset_bytes + host_rows * model.hyper.vocabulary_size * sizeof(float);
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
    StepRecorder recorder(model, encoder, state->readback, state->logits_offset_bytes);
    for (FamilyPlan& plan : state->plans) QUIRE_TRY(recorder.record(plan));
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
  return completed >= state_->timeline_value;
}

Status Step::finish(std::chrono::nanoseconds timeout) {
  if (!state_ || !state_->active) return {};
  Model::Impl& model = *state_->model;
  Status waited = model.device->wait(state_->timeline_value, timeout);
  if (waited.code() == Code::timeout) return waited;
  if (!waited.ok()) {
    cancel();
    return waited;
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
