/* Sessions: timelines, logits, sampling, shortage. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"

static const uint32_t kPrompt[] = {10, 60, 110, 160, 210, 260, 33, 44, 55, 66};
enum { kPromptCount = sizeof kPrompt / sizeof *kPrompt };

static quire_session_counts counts_of(quire_session *session) {
  quire_session_counts counts = {.struct_size = sizeof counts};
  CHECK_OK(quire_session_get_counts(session, &counts), quire_session_last_error(session));
  return counts;
}

/* Appends and computes the prompt; copies the logits of its last position. */
static void compute_prompt(quire_session *session, float *logits) {
  const float *values = NULL;
  uint32_t positions = 0;
  CHECK_OK(quire_session_append(session, kPrompt, kPromptCount, QUIRE_PHASE_PROMPT), quire_session_last_error(session));
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  CHECK_OK(quire_session_get_logits(session, &values, &positions), quire_session_last_error(session));
  CHECK(positions == 1);
  if (values != NULL) memcpy(logits, values, kVocabulary * sizeof *logits);
}

static void timeline(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *session = open_session(model);
  NEED();
  const float *values = NULL;
  uint32_t positions = 0, token = 0, tokens[kPromptCount];
  size_t count = 0;
  CHECK(counts_of(session).tokens == 0 && counts_of(session).context_left == kContext);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_get_logits(session, &values, &positions), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_sample(session, NULL, &token), "");
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));

  const uint32_t outside[] = {5, kVocabulary};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_append(session, outside, 2, QUIRE_PHASE_PROMPT), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_append(session, NULL, 2, QUIRE_PHASE_PROMPT), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_append(session, kPrompt, 2, (quire_phase)5), "");
  CHECK(counts_of(session).tokens == 0);

  CHECK_OK(quire_session_append(session, kPrompt, kPromptCount, QUIRE_PHASE_PROMPT), quire_session_last_error(session));
  CHECK(counts_of(session).pending == kPromptCount && counts_of(session).computed == 0);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_sample(session, NULL, &token), "");
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  CHECK(counts_of(session).pending == 0 && counts_of(session).computed == kPromptCount);
  CHECK_OK(quire_session_get_tokens(session, tokens, kPromptCount, &count), quire_session_last_error(session));
  CHECK(count == kPromptCount && memcmp(tokens, kPrompt, sizeof kPrompt) == 0);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_get_tokens(session, tokens, 1, &count), "");

  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_truncate(session, kPromptCount + 1), "");
  CHECK_OK(quire_session_truncate(session, 4), quire_session_last_error(session));
  CHECK(counts_of(session).tokens == 4 && counts_of(session).computed == 4);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_sample(session, NULL, &token), "");

  uint32_t many[kContext];
  for (size_t i = 0; i < kContext; ++i) many[i] = (uint32_t)(i % kVocabulary);
  CHECK_STATUS(QUIRE_CONTEXT_FULL, quire_session_append(session, many, kContext - 3, QUIRE_PHASE_PROMPT), "");
  CHECK(counts_of(session).tokens == 4);
  CHECK_OK(quire_session_append(session, many, kContext - 4, QUIRE_PHASE_PROMPT), quire_session_last_error(session));
  CHECK(counts_of(session).context_left == 0);
  CHECK_STATUS(QUIRE_CONTEXT_FULL, quire_session_append(session, many, 1, QUIRE_PHASE_GENERATED), "");
  CHECK_OK(quire_session_reset(session), quire_session_last_error(session));
  CHECK(counts_of(session).tokens == 0);

  quire_session *refused = (quire_session *)(uintptr_t)1;
  quire_session_options options = {.struct_size = sizeof options, .v_format = (quire_page_format)3};
  CHECK_STATUS(QUIRE_UNSUPPORTED, quire_session_create(model, &options, &refused), "");
  CHECK(refused == NULL);
  close_session(session);
  close_model(model);
  close_engine(engine);
}

static void logits_and_reset(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *session = open_session(model), *other = open_session(model);
  NEED();
  float first[kVocabulary], again[kVocabulary];
  compute_prompt(session, first);
  /* Another session's work, then a reset and a new session: the same bits. */
  const uint32_t forced[] = {7, 8, 9};
  CHECK_OK(quire_session_append(other, forced, 3, QUIRE_PHASE_GENERATED), quire_session_last_error(other));
  CHECK_OK(quire_session_run(other, NULL, NULL), quire_session_last_error(other));
  CHECK_OK(quire_session_reset(session), quire_session_last_error(session));
  compute_prompt(session, again);
  NEED();
  if (on->computes) CHECK(memcmp(first, again, sizeof first) == 0);
  close_session(other);
  other = open_session(model);
  NEED();
  compute_prompt(other, again);
  if (on->computes) CHECK(memcmp(first, again, sizeof first) == 0);

  /* The last four positions, two of them computed one at a time. */
  CHECK_OK(quire_session_reset(session), quire_session_last_error(session));
  CHECK_OK(quire_session_request_logits(session, 4), quire_session_last_error(session));
  CHECK_OK(quire_session_append(session, kPrompt, kPromptCount, QUIRE_PHASE_PROMPT), quire_session_last_error(session));
  CHECK_OK(quire_session_append(session, forced, 2, QUIRE_PHASE_GENERATED), quire_session_last_error(session));
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  const float *values = NULL;
  uint32_t positions = 0;
  CHECK_OK(quire_session_get_logits(session, &values, &positions), quire_session_last_error(session));
  CHECK(positions == 4);
  if (on->computes && positions == 4) CHECK(memcmp(values + kVocabulary, first, sizeof first) == 0);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_get_logits(session, NULL, &positions), "");
  close_session(session);
  close_session(other);
  close_model(model);
  close_engine(engine);
}

static void sampling(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *session = open_session(model);
  NEED();
  float logits[kVocabulary];
  compute_prompt(session, logits);
  uint32_t token = 0, same = 0, best = 0;
  quire_sampling how = {.struct_size = sizeof how, .temperature = -1};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_sample(session, &how, &token), "");
  how = (quire_sampling){.struct_size = sizeof how, .temperature = 1, .top_p = 1.5f};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_sample(session, &how, &token), "");
  how = (quire_sampling){.struct_size = sizeof how, .temperature = 1, .min_p = -0.5f};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_sample(session, &how, &token), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_sample(session, NULL, NULL), "");
  if (on->computes) {
    for (uint32_t id = 1; id < kVocabulary; ++id)
      if (logits[id] > logits[best]) best = id;
    CHECK_OK(quire_session_sample(session, NULL, &token), quire_session_last_error(session));
    CHECK(token == best);
    /* Keeping the first 256 and keeping all that likely give the same choice; another seed gives another one somewhere. */
    int differences = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      how = (quire_sampling){.struct_size = sizeof how, .temperature = 1.5f, .top_k = 256, .min_p = 0.01f, .seed = seed};
      CHECK_OK(quire_session_sample(session, &how, &token), quire_session_last_error(session));
      CHECK_OK(quire_session_sample(session, &how, &same), quire_session_last_error(session));
      CHECK(token == same && token < kVocabulary);
      how.top_k = 0;
      CHECK_OK(quire_session_sample(session, &how, &same), quire_session_last_error(session));
      CHECK(token == same);
      differences += token != best;
    }
    CHECK(differences > 2);
    how = (quire_sampling){.struct_size = sizeof how, .temperature = 50, .top_k = 1, .seed = 3};
    CHECK_OK(quire_session_sample(session, &how, &token), quire_session_last_error(session));
    CHECK(token == best);
  }
  close_session(session);
  close_model(model);
  close_engine(engine);
}

static void shortage_of_pages(const backend *on) {
  /* A page of 64 tokens in f16 holds 2 layers x K and V x 2 heads x 16 elements: 16 KiB. Four of them. */
  quire_engine_options options = {.cache_budget_bytes = 4 * 16384};
  quire_engine *engine = open_engine(on, &options);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *greedy = open_session(model), *second = open_session(model);
  NEED();
  uint32_t many[kContext];
  for (size_t i = 0; i < kContext; ++i) many[i] = (uint32_t)(i * 7 % kVocabulary);
  CHECK_OK(quire_session_append(greedy, many, 4 * 64, QUIRE_PHASE_PROMPT), quire_session_last_error(greedy));
  CHECK_OK(quire_session_run(greedy, NULL, NULL), quire_session_last_error(greedy));
  quire_model_memory memory = {.struct_size = sizeof memory};
  CHECK_OK(quire_model_memory_used(model, &memory), quire_model_last_error(model));
  CHECK(memory.pages_used == 4 && memory.page_bytes_used == 4 * 16384 && memory.slab_bytes == 4 * 16384);
  CHECK(counts_of(greedy).page_bytes_per_token == 256);
  CHECK_OK(quire_session_append(second, many, 10, QUIRE_PHASE_PROMPT), quire_session_last_error(second));
  for (int attempt = 0; attempt < 2; ++attempt) {
    CHECK_STATUS(QUIRE_OUT_OF_PAGES, quire_session_run(second, NULL, NULL), "");
    CHECK(quire_session_last_error(second)[0] != '\0');
    CHECK(counts_of(second).pending == 10 && counts_of(second).computed == 0);
  }
  CHECK(quire_session_last_error(greedy)[0] == '\0');
  close_session(greedy);
  CHECK_OK(quire_session_run(second, NULL, NULL), quire_session_last_error(second));
  CHECK(counts_of(second).computed == 10);
  close_session(second);
  close_model(model);
  close_engine(engine);
}

typedef struct memory_file {
  const unsigned char *bytes;
  size_t size_bytes;
} memory_file;

static int read_memory(void *user, uint64_t offset_bytes, void *buffer, size_t size_bytes) {
  const memory_file *file = user;
  if (offset_bytes > file->size_bytes || size_bytes > file->size_bytes - offset_bytes) return 1;
  memcpy(buffer, file->bytes + offset_bytes, size_bytes);
  return 0;
}

static void last_logits(quire_session *session, const uint32_t *tokens, size_t count, float *logits) {
  const float *values = NULL;
  uint32_t positions = 0;
  CHECK_OK(quire_session_append(session, tokens, count, QUIRE_PHASE_PROMPT), quire_session_last_error(session));
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  CHECK_OK(quire_session_get_logits(session, &values, &positions), quire_session_last_error(session));
  if (values != NULL) memcpy(logits, values, kVocabulary * sizeof *logits);
}

static void windows(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  memory_file file;
  file.bytes = make_windowed_model(&file.size_bytes);
  const quire_source source = {.struct_size = sizeof source, .read_at = read_memory, .size_bytes = file.size_bytes, .user = &file};
  quire_model *model = NULL;
  NEED();
  CHECK_OK(quire_model_open(engine, &source, NULL, &model), quire_engine_last_error(engine));
  NEED();
  quire_session *session = open_session(model), *other = open_session(model);
  uint32_t tokens[300];
  for (size_t i = 0; i < 300; ++i) tokens[i] = (uint32_t)(i * 31 % kVocabulary);
  float first[kVocabulary] = {0}, again[kVocabulary] = {0};
  last_logits(session, tokens, 300, first);
  last_logits(other, tokens, 10, again);

  /* Slots 231 on are what the next token sees in layers 0 and 1: pages 3 and 4 of five. */
  CHECK(quire_model_group_count(model) == 2);
  const quire_cache_group expected[] = {{.layers = 2, .window = 70, .most_pages = 3, .pages = 2}, {.layers = 1, .window = 0, .most_pages = 0, .pages = 5}};
  for (size_t i = 0; i < 2; ++i) {
    quire_cache_group held = {.struct_size = sizeof held}, all = {.struct_size = sizeof all};
    CHECK_OK(quire_session_get_group(session, i, &held), quire_session_last_error(session));
    CHECK(held.layers == expected[i].layers && held.window == expected[i].window && held.tokens_per_page == 64);
    CHECK(held.most_pages == expected[i].most_pages && held.pages == expected[i].pages);
    CHECK(held.page_bytes_per_token == held.layers * 128 && held.page_bytes == held.pages * 64 * held.page_bytes_per_token);
    CHECK_OK(quire_model_get_group(model, i, &all), quire_model_last_error(model));
    CHECK(all.layers == held.layers && all.pages == held.pages + 1 && all.page_bytes == held.page_bytes / held.pages * all.pages);
  }
  quire_cache_group none = {.struct_size = sizeof none};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_get_group(session, 2, &none), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_get_group(model, 2, &none), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_session_get_group(session, 0, NULL), "");

  /* What the window still holds is kept; below it all is computed again. */
  CHECK_OK(quire_session_truncate(session, 290), quire_session_last_error(session));
  CHECK(counts_of(session).computed == 290);
  CHECK_OK(quire_session_truncate(session, 100), quire_session_last_error(session));
  CHECK(counts_of(session).tokens == 100 && counts_of(session).computed == 0 && counts_of(session).pending == 100);
  last_logits(session, tokens + 100, 200, again);
  CHECK(counts_of(session).computed == 300);
  if (on->computes) CHECK(memcmp(first, again, sizeof first) == 0);
  close_session(other);
  close_session(session);
  close_model(model);
  close_engine(engine);
}

/* A thread that cancels the session each time it is asked to. `asked` and `answered` only grow, so that nothing depends on who is faster. */
typedef struct canceller {
  quire_session *session;
  atomic_int asked;
  atomic_int answered;
  atomic_bool stop;
} canceller;

static void *cancel_when_asked(void *user) {
  canceller *c = user;
  while (!atomic_load(&c->stop)) {
    if (atomic_load(&c->asked) == atomic_load(&c->answered)) {
      sched_yield();
      continue;
    }
    quire_session_cancel(c->session);
    atomic_fetch_add(&c->answered, 1);
  }
  return NULL;
}

/* Called between two steps: goes on only when the other thread has cancelled meanwhile. */
static int ask_to_cancel(void *user) {
  canceller *c = user;
  const int mine = atomic_fetch_add(&c->asked, 1) + 1;
  while (atomic_load(&c->answered) < mine) sched_yield();
  return 1;
}

static void cancel_from_another_thread(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  const quire_model_options options = {.struct_size = sizeof options, .chunk = 1};
  quire_model *model = open_tiny_model(engine, &options);
  quire_session *session = open_session(model);
  NEED();
  uint32_t many[100];
  for (size_t i = 0; i < 100; ++i) many[i] = (uint32_t)(7 * i % kVocabulary);
  CHECK_OK(quire_session_append(session, many, 100, QUIRE_PHASE_PROMPT), quire_session_last_error(session));
  canceller other = {.session = session};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, cancel_when_asked, &other) == 0);
  NEED();
  for (uint32_t run = 1; run <= 3; ++run) {
    /* The question before a step is answered by a cancel that the question before the next step finds: one step a run. */
    CHECK_STATUS(QUIRE_CANCELLED, quire_session_run(session, ask_to_cancel, &other), quire_session_last_error(session));
    CHECK(counts_of(session).computed == run && counts_of(session).pending == 100 - run);
  }
  atomic_store(&other.stop, 1);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  CHECK(counts_of(session).pending == 0);
  close_session(session);
  close_model(model);
  close_engine(engine);
}

const test_case session_cases[] = {{"api: a timeline grows, is cut and refuses what it cannot hold, unchanged", timeline, 1},
                                   {"api: a fresh or reset session computes the same bits whatever ran before", logits_and_reset, 1},
                                   {"api: sampling obeys its filters, and depends on seed and position alone", sampling, 1},
                                   {"api: out of pages is an answer to the session that asked, and the next call is right", shortage_of_pages, 1},
                                   {"api: a windowed model tells what its groups hold, and a truncation below a window computes again", windows, 1},
                                   {"api: a cancel from another thread stops a run between two steps", cancel_from_another_thread, 1},
                                   {NULL, NULL, 0}};
