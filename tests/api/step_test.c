/* Steps: begin, poll, finish, cancel; several sessions at once; stopping. */
#include <string.h>

#include "check.h"

static const uint32_t kTokens[] = {5, 25, 125, 225, 250, 199, 99, 9};
enum { kCount = sizeof kTokens / sizeof *kTokens };

static void append(quire_session *session, size_t begin, size_t count, quire_phase phase) {
  CHECK_OK(quire_session_append(session, kTokens + begin, count, phase), quire_session_last_error(session));
}

static void copy_logits(quire_session *session, float *logits) {
  const float *values = NULL;
  uint32_t positions = 0;
  CHECK_OK(quire_session_get_logits(session, &values, &positions), quire_session_last_error(session));
  if (values != NULL) memcpy(logits, values, kVocabulary * sizeof *logits);
}

static uint32_t pending(quire_session *session) {
  quire_session_counts counts = {.struct_size = sizeof counts};
  CHECK_OK(quire_session_get_counts(session, &counts), quire_session_last_error(session));
  return counts.pending;
}

static void resumable(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *a = open_session(model), *b = open_session(model);
  NEED();
  quire_step *step = NULL, *second = NULL;
  quire_session *both[] = {a, b}, *twice[] = {a, a}, *with_null[] = {a, NULL};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_step_begin(both, 2, &step), ""); /* nothing is pending */
  CHECK(step == NULL && quire_session_last_error(b)[0] != '\0');
  append(a, 0, 4, QUIRE_PHASE_PROMPT);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_step_begin(twice, 2, &step), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_step_begin(with_null, 2, &step), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_step_begin(both, 0, &step), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_step_begin(both, 2, NULL), "");

  CHECK_OK(quire_step_begin(&a, 1, &step), quire_session_last_error(a));
  NEED();
  CHECK_STATUS(QUIRE_BUSY, quire_session_append(a, kTokens, 1, QUIRE_PHASE_PROMPT), "");
  CHECK_STATUS(QUIRE_BUSY, quire_session_truncate(a, 0), "");
  CHECK_STATUS(QUIRE_BUSY, quire_session_reset(a), "");
  CHECK_STATUS(QUIRE_BUSY, quire_session_free(a), "");
  CHECK_STATUS(QUIRE_BUSY, quire_session_request_logits(a, 2), "");
  CHECK_STATUS(QUIRE_BUSY, quire_step_begin(&a, 1, &second), "");
  CHECK(second == NULL);
  int done = 0;
  for (long polls = 0; !done && polls < 1000000000; ++polls) CHECK_OK(quire_step_poll(step, &done), quire_step_last_error(step));
  CHECK(done == 1);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_step_poll(step, NULL), "");
  CHECK_OK(quire_step_finish(step, 0), quire_step_last_error(step));
  CHECK(pending(a) == 0);
  CHECK_OK(quire_step_finish(step, 0), quire_step_last_error(step));
  CHECK_OK(quire_step_poll(step, &done), quire_step_last_error(step));
  CHECK_OK(quire_step_cancel(step), quire_step_last_error(step));
  quire_step_free(step);
  CHECK(pending(a) == 0);
  close_session(a);
  close_session(b);
  close_model(model);
  close_engine(engine);
}

static void cancelled_steps(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *session = open_session(model), *untroubled = open_session(model);
  NEED();
  float expected[kVocabulary], got[kVocabulary];
  append(untroubled, 0, kCount, QUIRE_PHASE_PROMPT);
  CHECK_OK(quire_session_run(untroubled, NULL, NULL), quire_session_last_error(untroubled));
  copy_logits(untroubled, expected);
  append(session, 0, kCount, QUIRE_PHASE_PROMPT);
  quire_step *step = NULL;
  CHECK_OK(quire_step_begin(&session, 1, &step), quire_session_last_error(session));
  CHECK_OK(quire_step_cancel(step), quire_step_last_error(step));
  CHECK(pending(session) == kCount);
  quire_step_free(step);
  CHECK_OK(quire_step_begin(&session, 1, &step), quire_session_last_error(session));
  quire_step_free(step); /* unfinished: cancels */
  CHECK(pending(session) == kCount);
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  copy_logits(session, got);
  if (on->computes) CHECK(memcmp(expected, got, sizeof got) == 0);
  close_session(session);
  close_session(untroubled);
  close_model(model);
  close_engine(engine);
}

static void batches(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *sessions[3] = {open_session(model), open_session(model), open_session(model)}, *solo = open_session(model);
  NEED();
  for (size_t i = 0; i < 3; ++i) {
    append(sessions[i], i, 5, QUIRE_PHASE_PROMPT);
    append(sessions[i], 0, i, QUIRE_PHASE_GENERATED);
  }
  CHECK_OK(quire_sessions_run(sessions, 3, NULL, NULL), quire_session_last_error(sessions[0]));
  for (size_t i = 0; i < 3; ++i) {
    float together[kVocabulary], alone[kVocabulary];
    CHECK_OK(quire_session_reset(solo), quire_session_last_error(solo));
    append(solo, i, 5, QUIRE_PHASE_PROMPT);
    append(solo, 0, i, QUIRE_PHASE_GENERATED);
    CHECK_OK(quire_session_run(solo, NULL, NULL), quire_session_last_error(solo));
    copy_logits(sessions[i], together);
    copy_logits(solo, alone);
    if (on->computes) CHECK(memcmp(together, alone, sizeof alone) == 0);
  }
  for (size_t i = 0; i < 3; ++i) close_session(sessions[i]);
  close_session(solo);
  close_model(model);
  close_engine(engine);
}

static int countdown(void *user) { return (*(int *)user)-- > 0; }

static void stopping(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model_options options = {.struct_size = sizeof options, .chunk = 2};
  quire_model *model = open_tiny_model(engine, &options);
  quire_session *session = open_session(model);
  NEED();
  append(session, 0, kCount, QUIRE_PHASE_PROMPT);
  int steps = 0;
  CHECK_STATUS(QUIRE_CANCELLED, quire_session_run(session, countdown, &steps), "");
  CHECK(pending(session) == kCount);
  quire_session_cancel(session);
  CHECK_STATUS(QUIRE_CANCELLED, quire_session_run(session, NULL, NULL), "");
  CHECK(pending(session) == kCount);
  steps = 1;
  CHECK_STATUS(QUIRE_CANCELLED, quire_session_run(session, countdown, &steps), "");
  CHECK(pending(session) < kCount && pending(session) > 0);
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  CHECK(pending(session) == 0);
  close_session(session);
  close_model(model);
  close_engine(engine);
}

static void add_row(void *user, const quire_kernel_time *row) {
  ++*(int *)user;
  CHECK(row->struct_size == sizeof *row && row->kernel[0] != '\0' && row->dispatches > 0 && row->moved_bytes > 0);
}

static void kernel_times(const backend *on) {
  int rows = 0;
  quire_engine *engine = open_engine(on, NULL);
  NEED();
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_engine_take_kernel_times(engine, add_row, &rows), "");
  close_engine(engine);
  if (on->kind != QUIRE_BACKEND_VULKAN) return;
  quire_engine_options options = {.timestamps = 1};
  engine = open_engine(on, &options);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *session = open_session(model);
  NEED();
  append(session, 0, kCount, QUIRE_PHASE_PROMPT);
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  CHECK_OK(quire_engine_take_kernel_times(engine, add_row, &rows), quire_engine_last_error(engine));
  CHECK(rows >= 6);
  rows = 0;
  CHECK_OK(quire_engine_take_kernel_times(engine, add_row, &rows), quire_engine_last_error(engine));
  CHECK(rows == 0);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_engine_take_kernel_times(engine, NULL, NULL), "");
  close_session(session);
  close_model(model);
  close_engine(engine);
}

const test_case step_cases[] = {{"api: a step begins, is polled and finishes; its sessions are busy meanwhile", resumable, 1},
                                {"api: a cancelled step leaves its sessions as before", cancelled_steps, 1},
                                {"api: sessions computed together get the bits they get alone", batches, 1},
                                {"api: a run stops between steps when it is told to, and goes on later", stopping, 1},
                                {"api: kernel times are counted where they were asked for", kernel_times, 1},
                                {NULL, NULL, 0}};
