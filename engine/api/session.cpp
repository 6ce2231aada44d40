// Sessions and steps.
#include <algorithm>

#include "engine/api/handles.hpp"

using namespace quire;
using namespace quire::api;

namespace {

/// One step of the blocking loop: even a long chunk on a software device is done by then, so that a longer one is a device that hangs.
constexpr std::chrono::minutes kStepTimeout{10};

Result<Phase> phase_of(quire_phase phase) {
  switch (phase) {
    case QUIRE_PHASE_PROMPT: return Phase::prompt;
    case QUIRE_PHASE_GENERATED: return Phase::generated;
    case QUIRE_PHASE_FORCE_32_BITS: break;
  }
  return make_error(Code::invalid_argument, "%u is no quire_phase", static_cast<unsigned>(phase));
}

/// The sessions of a call that takes several. On error: invalid_argument.
Result<std::vector<Session*>> session_list(std::span<quire_session* const> handles) {
  if (handles.empty()) return make_error(Code::invalid_argument, "no session is given");
  std::vector<Session*> sessions;
  for (quire_session* handle : handles) {
    if (handle == nullptr) return make_error(Code::invalid_argument, "session %zu is null", sessions.size());
    if (std::find(sessions.begin(), sessions.end(), handle->session.get()) != sessions.end())
      return make_error(Code::invalid_argument, "session %zu is given twice", sessions.size());
    sessions.push_back(handle->session.get());
  }
  return sessions;
}

/// Runs `body` and writes its error to every session given.
template <class Body>
quire_status guarded_for_all(quire_session* const* handles, size_t count, Body&& body) {
  if (handles == nullptr) return QUIRE_INVALID_ARGUMENT;
  ErrorSlot slot;
  const std::span<quire_session* const> all(handles, count);
  const quire_status status = guarded(slot, [&] { return body(all); });
  if (status != QUIRE_OK)
    for (quire_session* handle : all)
      if (handle != nullptr) handle->error.set(static_cast<Code>(status), slot.message());
  return status;
}

void end_step(quire_step& step) {
  step.step.reset();
  for (quire_session* session : step.sessions) session->in_step = false;
  step.sessions.clear();
}

}  // namespace

extern "C" {

quire_status quire_session_create(quire_model* model, const quire_session_options* options, quire_session** session) {
  if (model == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(model->error, [&]() -> Status {
    if (session == nullptr) return make_error(Code::invalid_argument, "the place for the session is null");
    *session = nullptr;
    QUIRE_ASSIGN(const quire_session_options given, read_struct(options, "quire_session_options"));
    SessionOptions session_options;
    QUIRE_ASSIGN(session_options.formats, page_formats(given.k_format, given.v_format));
    QUIRE_ASSIGN(std::unique_ptr<Session> created, Session::create(*model->model, session_options));
    *session = model->engine.memory.create<quire_session>(*model, std::move(created), session_options.formats);
    return {};
  });
}

quire_status quire_session_free(quire_session* session) {
  if (session == nullptr) return QUIRE_OK;
  return guarded(session->error, [&]() -> Status {
    if (session->in_step) return make_error(Code::busy, "the session is part of a step that has not finished");
    destroy_handle(session->model.engine.memory, session);
    return {};
  });
}

const char* quire_session_last_error(const quire_session* session) { return session != nullptr ? session->error.message() : "the handle is null"; }

quire_status quire_session_reset(quire_session* session) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&] { return session->session->reset(); });
}

quire_status quire_session_truncate(quire_session* session, uint32_t length) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&] { return session->session->truncate(length); });
}

quire_status quire_session_append(quire_session* session, const uint32_t* tokens, size_t count, quire_phase phase) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&]() -> Status {
    if (tokens == nullptr && count != 0) return make_error(Code::invalid_argument, "the tokens are null but %zu are announced", count);
    QUIRE_ASSIGN(const Phase tokens_phase, phase_of(phase));
    return session->session->append({tokens, count}, tokens_phase);
  });
}

quire_status quire_session_get_counts(quire_session* session, quire_session_counts* counts) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&] {
    quire_session_counts out{};
    out.tokens = static_cast<uint32_t>(session->session->tokens().size());
    out.computed = session->session->computed();
    out.pending = session->session->pending();
    out.context_left = session->model.model->context_length() - out.tokens;
    out.page_bytes_per_token = session->model.model->memory_prediction(0, session->formats).page_bytes_per_token;
    return write_struct(counts, out, "quire_session_counts");
  });
}

quire_status quire_session_get_group(quire_session* session, size_t index, quire_cache_group* group) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&]() -> Status {
    const Model& model = *session->model.model;
    QUIRE_TRY(check_group_index(index, model.cache_groups().size()));
    const HeldPages held = session->session->held_pages(static_cast<uint32_t>(index));
    quire_cache_group out = describe_group(model.cache_groups()[index]);
    out.pages = held.count;
    out.page_bytes = held.size_bytes;
    out.page_bytes_per_token = model.memory_prediction(0, session->formats).groups[index].page_bytes / out.tokens_per_page;
    return write_struct(group, out, "quire_cache_group");
  });
}

quire_status quire_session_get_tokens(quire_session* session, uint32_t* tokens, size_t capacity, size_t* count) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&] { return write_array(session->session->tokens(), tokens, capacity, count); });
}

quire_status quire_session_request_logits(quire_session* session, uint32_t positions) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&]() -> Status {
    if (session->in_step) return make_error(Code::busy, "the session is part of a step that has not finished");
    session->session->request({.logits_last = positions});
    return {};
  });
}

quire_status quire_session_get_logits(quire_session* session, const float** logits, uint32_t* positions) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&]() -> Status {
    if (logits == nullptr || positions == nullptr) return make_error(Code::invalid_argument, "the place for the logits is null");
    QUIRE_ASSIGN(const std::span<const float> values, session->session->logits());
    *logits = values.data();
    *positions = session->session->logits_positions();
    return {};
  });
}

quire_status quire_session_sample(quire_session* session, const quire_sampling* sampling, uint32_t* token) {
  if (session == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(session->error, [&]() -> Status {
    if (token == nullptr) return make_error(Code::invalid_argument, "the place for the token is null");
    QUIRE_ASSIGN(const quire_sampling given, read_struct(sampling, "quire_sampling"));
    const SamplingOptions options{.temperature = given.temperature, .top_k = given.top_k, .top_p = given.top_p, .min_p = given.min_p, .seed = given.seed};
    QUIRE_ASSIGN(*token, session->session->sample(options));
    return {};
  });
}

void quire_session_cancel(quire_session* session) {
  if (session != nullptr) session->cancel_requested.store(true, std::memory_order_relaxed);
}

quire_status quire_session_run(quire_session* session, quire_keep_going_function keep_going, void* user) {
  return quire_sessions_run(&session, 1, keep_going, user);
}

quire_status quire_sessions_run(quire_session* const* sessions, size_t count, quire_keep_going_function keep_going, void* user) {
  return guarded_for_all(sessions, count, [&](std::span<quire_session* const> all) -> Status {
    QUIRE_ASSIGN(const std::vector<Session*> list, session_list(all));
    const auto go_on = [&] {
      bool cancelled = false;
      for (quire_session* session : all) cancelled |= session->cancel_requested.exchange(false, std::memory_order_relaxed);
      return !cancelled && (keep_going == nullptr || keep_going(user) != 0);
    };
    return run_steps(list, kStepTimeout, go_on);
  });
}

quire_status quire_step_begin(quire_session* const* sessions, size_t count, quire_step** step) {
  return guarded_for_all(sessions, count, [&](std::span<quire_session* const> all) -> Status {
    if (step == nullptr) return make_error(Code::invalid_argument, "the place for the step is null");
    *step = nullptr;
    QUIRE_ASSIGN(const std::vector<Session*> list, session_list(all));
    QUIRE_ASSIGN(Step begun, Step::begin(list));
    HostMemory& memory = all[0]->model.engine.memory;
    *step = memory.create<quire_step>(memory, std::move(begun), all);
    for (quire_session* session : (*step)->sessions) session->in_step = true;
    return {};
  });
}

const char* quire_step_last_error(const quire_step* step) { return step != nullptr ? step->error.message() : "the handle is null"; }

quire_status quire_step_poll(quire_step* step, int* done) {
  if (step == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(step->error, [&]() -> Status {
    if (done == nullptr) return make_error(Code::invalid_argument, "the place for the answer is null");
    *done = 1;
    if (!step->step) return {};
    QUIRE_ASSIGN(const bool finished, step->step->poll());
    *done = finished ? 1 : 0;
    return {};
  });
}

quire_status quire_step_finish(quire_step* step, uint64_t timeout_ns) {
  if (step == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(step->error, [&]() -> Status {
    if (!step->step) return {};
    const auto longest = static_cast<uint64_t>(std::chrono::nanoseconds::max().count());
    Status finished = step->step->finish(std::chrono::nanoseconds(std::min(timeout_ns, longest)));
    if (finished.code() != Code::timeout) end_step(*step);
    return finished;
  });
}

quire_status quire_step_cancel(quire_step* step) {
  if (step == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(step->error, [&]() -> Status {
    end_step(*step);
    return {};
  });
}

void quire_step_free(quire_step* step) {
  if (step == nullptr) return;
  end_step(*step);
  destroy_handle(step->memory, step);
}

}  // extern "C"
