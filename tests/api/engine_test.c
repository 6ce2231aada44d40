/* Engines, devices, files, models: opening, closing, and every way to be refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static void words(const backend *on) {
  (void)on;
  CHECK(strcmp(quire_status_name(QUIRE_OK), "ok") == 0);
  CHECK(strcmp(quire_status_name(QUIRE_OUT_OF_PAGES), "out_of_pages") == 0);
  CHECK(strcmp(quire_status_name(QUIRE_INTERNAL), "internal") == 0);
  CHECK(strcmp(quire_status_name((quire_status)16), "unknown") == 0);
  CHECK(strcmp(quire_status_name((quire_status)12345), "unknown") == 0);
  CHECK(strcmp(quire_version(), "0.1.0") == 0);
}

static void null_handles(const backend *on) {
  (void)on;
  size_t count = 0;
  uint32_t number = 0;
  const char *text = NULL;
  const float *logits = NULL;
  int done = 0;
  const quire_status bad = QUIRE_INVALID_ARGUMENT;
  quire_engine_memory engine_memory = {.struct_size = sizeof engine_memory};
  CHECK(quire_engine_create(NULL, NULL, NULL) == bad);
  CHECK(quire_engine_device(NULL, NULL) == bad);
  CHECK(quire_engine_memory_used(NULL, &engine_memory) == bad);
  CHECK(quire_engine_take_kernel_times(NULL, NULL, NULL) == bad);
  CHECK(quire_engine_measure_copy(NULL, 0, NULL) == bad);
  CHECK(quire_engine_save_pipeline_cache(NULL) == bad);
  CHECK(quire_list_devices(NULL, NULL, NULL, NULL) == bad);
  CHECK(quire_file_open(NULL, NULL, NULL) == bad);
  CHECK(quire_file_metadata_count(NULL) == 0);
  CHECK(quire_file_metadata(NULL, 0, NULL) == bad);
  CHECK(quire_file_tensor_count(NULL) == 0);
  CHECK(quire_file_tensor(NULL, 0, NULL) == bad);
  CHECK(quire_file_predict(NULL, 0, QUIRE_PAGE_F16, QUIRE_PAGE_F16, NULL) == bad);
  CHECK(quire_file_predict_group(NULL, 0, QUIRE_PAGE_F16, QUIRE_PAGE_F16, 0, NULL) == bad);
  CHECK(quire_model_open(NULL, NULL, NULL, NULL) == bad);
  CHECK(quire_model_get_info(NULL, NULL) == bad);
  CHECK(quire_model_memory_used(NULL, NULL) == bad);
  CHECK(quire_model_group_count(NULL) == 0);
  CHECK(quire_model_get_group(NULL, 0, NULL) == bad);
  CHECK(quire_model_tokenize(NULL, "x", 1, 0, NULL, 0, &count) == bad);
  CHECK(quire_model_is_end_token(NULL, 0) == 0);
  CHECK(quire_model_apply_template(NULL, NULL, 0, 0, NULL, 0, &count) == bad);
  CHECK(quire_decoder_create(NULL, NULL) == bad);
  CHECK(quire_decoder_push(NULL, 0, &text, &count) == bad);
  CHECK(quire_decoder_flush(NULL, &text, &count) == bad);
  CHECK(quire_session_create(NULL, NULL, NULL) == bad);
  CHECK(quire_session_reset(NULL) == bad);
  CHECK(quire_session_truncate(NULL, 0) == bad);
  CHECK(quire_session_append(NULL, &number, 1, QUIRE_PHASE_PROMPT) == bad);
  CHECK(quire_session_get_counts(NULL, NULL) == bad);
  CHECK(quire_session_get_group(NULL, 0, NULL) == bad);
  CHECK(quire_session_get_tokens(NULL, NULL, 0, &count) == bad);
  CHECK(quire_session_request_logits(NULL, 1) == bad);
  CHECK(quire_session_get_logits(NULL, &logits, &number) == bad);
  CHECK(quire_session_sample(NULL, NULL, &number) == bad);
  CHECK(quire_session_run(NULL, NULL, NULL) == bad);
  CHECK(quire_sessions_run(NULL, 1, NULL, NULL) == bad);
  CHECK(quire_step_begin(NULL, 1, NULL) == bad);
  CHECK(quire_step_poll(NULL, &done) == bad);
  CHECK(quire_step_finish(NULL, 0) == bad);
  CHECK(quire_step_cancel(NULL) == bad);
  CHECK(quire_engine_free(NULL) == QUIRE_OK);
  CHECK(quire_file_free(NULL) == QUIRE_OK);
  CHECK(quire_model_free(NULL) == QUIRE_OK);
  CHECK(quire_decoder_free(NULL) == QUIRE_OK);
  CHECK(quire_session_free(NULL) == QUIRE_OK);
  quire_step_free(NULL);
  quire_session_cancel(NULL);
  CHECK(quire_engine_last_error(NULL) != NULL && quire_file_last_error(NULL) != NULL && quire_model_last_error(NULL) != NULL);
  CHECK(quire_session_last_error(NULL) != NULL && quire_step_last_error(NULL) != NULL && quire_decoder_last_error(NULL) != NULL);
}

static quire_status create(const quire_engine_options *options, quire_error *error) {
  quire_engine *engine = (quire_engine *)(uintptr_t)1;
  *error = (quire_error){.struct_size = sizeof *error};
  const quire_status status = quire_engine_create(options, &engine, error);
  CHECK((status == QUIRE_OK) == (engine != NULL));
  CHECK(status == QUIRE_OK || (error->status == status && error->message[0] != '\0'));
  if (engine != NULL) close_engine(engine);
  return status;
}

static void *only_half(void *user, size_t size, size_t alignment) {
  (void)user;
  (void)size;
  (void)alignment;
  return NULL;
}

static void refused_engines(const backend *on) {
  (void)on;
  quire_error error;
  quire_engine_options options = {.struct_size = sizeof options, .device = "no such device"};
  CHECK(create(&options, &error) == QUIRE_NOT_FOUND);
  CHECK(strstr(error.message, "no such device") != NULL);
  options = (quire_engine_options){.struct_size = sizeof options, .backend = QUIRE_BACKEND_CUDA};
  CHECK(create(&options, &error) == QUIRE_UNSUPPORTED);
  options.backend = (quire_backend)77;
  CHECK(create(&options, &error) == QUIRE_INVALID_ARGUMENT);
  options = (quire_engine_options){.struct_size = 0, .backend = QUIRE_BACKEND_NULL};
  CHECK(create(&options, &error) == QUIRE_INVALID_ARGUMENT);
  options.struct_size = (size_t)1 << 40;
  CHECK(create(&options, &error) == QUIRE_INVALID_ARGUMENT);
  options = (quire_engine_options){.struct_size = sizeof options, .backend = QUIRE_BACKEND_NULL, .allocator = {.allocate = only_half}};
  CHECK(create(&options, &error) == QUIRE_INVALID_ARGUMENT);
  options = (quire_engine_options){.struct_size = sizeof options, .backend = QUIRE_BACKEND_NULL, .submission_bound_ns = UINT64_MAX - 1};
  CHECK(create(&options, &error) == QUIRE_INVALID_ARGUMENT);
  options.submission_bound_ns = QUIRE_NO_SUBMISSION_BOUND;
  CHECK(create(&options, &error) == QUIRE_OK);

  /* A quire_error too small for a message, and none at all. */
  options.backend = (quire_backend)77;
  quire_engine *engine = NULL;
  quire_error tiny = {.struct_size = sizeof(size_t), .message = "untouched"};
  CHECK(quire_engine_create(&options, &engine, &tiny) == QUIRE_INVALID_ARGUMENT);
  CHECK(strcmp(tiny.message, "untouched") == 0);
  quire_error cut = {.struct_size = offsetof(quire_error, message) + 5, .message = "untouched"};
  CHECK(quire_engine_create(&options, &engine, &cut) == QUIRE_INVALID_ARGUMENT);
  CHECK(strlen(cut.message) == 4 && strcmp(cut.message + 5, "hed") != 0 && memcmp(cut.message + 5, "ched", 4) == 0);
  CHECK(quire_engine_create(&options, &engine, NULL) == QUIRE_INVALID_ARGUMENT);
}

static void versions_of_structs(const backend *on) {
  /* Of an older header: only the first fields exist, what lies behind them is not read. */
  quire_engine_options old;
  memset(&old, 0xff, sizeof old);
  old.struct_size = offsetof(quire_engine_options, device);
  old.backend = on->kind;
  old.validation = 0;
  quire_error error;
  CHECK(create(&old, &error) == QUIRE_OK);
  /* Of a newer header: unknown fields are accepted as long as they are zero. */
  struct {
    quire_engine_options known;
    uint64_t unknown;
  } newer = {.known = {.struct_size = sizeof newer, .backend = on->kind}};
  CHECK(create(&newer.known, &error) == QUIRE_OK);
  newer.unknown = 1;
  CHECK(create(&newer.known, &error) == QUIRE_UNSUPPORTED);

  quire_engine *engine = open_engine(on, NULL);
  NEED();
  struct {
    quire_device_info known;
    uint64_t unknown;
  } info = {.known = {.struct_size = sizeof info}, .unknown = 5};
  CHECK_OK(quire_engine_device(engine, &info.known), quire_engine_last_error(engine));
  CHECK(info.unknown == 0 && info.known.struct_size == sizeof info && info.known.backend == on->kind && info.known.name[0] != '\0');
  quire_device_info small;
  memset(&small, 0x5a, sizeof small);
  small.struct_size = offsetof(quire_device_info, name);
  CHECK_OK(quire_engine_device(engine, &small), quire_engine_last_error(engine));
  const char *untouched;
  memset(&untouched, 0x5a, sizeof untouched);
  CHECK(small.backend == on->kind && small.name == untouched);
  small.struct_size = 0;
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_engine_device(engine, &small), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_engine_device(engine, NULL), "");
  close_engine(engine);
}

static void count_device(void *user, const quire_device_info *device) {
  ++*(int *)user;
  CHECK(device->struct_size == sizeof *device && device->name != NULL && device->driver != NULL && device->variants != NULL);
  CHECK(device->usable ? device->refusal[0] == '\0' && device->variants[0] != '\0' : device->refusal[0] != '\0');
}

static void device_list(const backend *on) {
  quire_engine_options options = {.struct_size = sizeof options, .backend = on->kind};
  quire_error error = {.struct_size = sizeof error};
  int count = 0;
  CHECK_OK(quire_list_devices(&options, count_device, &count, &error), error.message);
  CHECK(count >= 1);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_list_devices(&options, NULL, NULL, &error), "");
}

typedef struct reader {
  uint64_t calls, fail_at;
} reader;

static int read_tiny(void *user, uint64_t offset, void *buffer, size_t size) {
  reader *state = user;
  if (++state->calls == state->fail_at) return 1;
  CHECK(offset <= tiny_model_size && size <= tiny_model_size - offset);
  memcpy(buffer, tiny_model_bytes + offset, size);
  return 0;
}

static quire_status open_source(quire_engine *engine, const quire_source *source, const quire_model_options *options) {
  quire_model *model = (quire_model *)(uintptr_t)1;
  const quire_status status = quire_model_open(engine, source, options, &model);
  CHECK((status == QUIRE_OK) == (model != NULL));
  CHECK(status == QUIRE_OK || quire_engine_last_error(engine)[0] != '\0');
  if (model != NULL) close_model(model);
  return status;
}

static int stop_loading(void *user, uint64_t done, uint64_t total) {
  CHECK(done <= total);
  ++*(int *)user;
  return 0;
}

static void model_sources(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  NEED();
  quire_source source = {.struct_size = sizeof source, .path = "no/such/file.gguf"};
  CHECK_STATUS(QUIRE_NOT_FOUND, open_source(engine, &source, NULL), quire_engine_last_error(engine));
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, open_source(engine, NULL, NULL), "");
  source.path = NULL;
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, open_source(engine, &source, NULL), "");
  reader state = {0};
  source = (quire_source){.struct_size = sizeof source, .path = tiny_model_path, .read_at = read_tiny, .user = &state, .size_bytes = tiny_model_size};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, open_source(engine, &source, NULL), "");
  source.path = NULL;
  CHECK_OK(open_source(engine, &source, NULL), quire_engine_last_error(engine));
  const uint64_t calls = state.calls;
  CHECK(calls > 1);
  for (uint64_t n = 1; n <= calls; ++n) {
    state = (reader){.fail_at = n};
    CHECK_STATUS(QUIRE_IO, open_source(engine, &source, NULL), quire_engine_last_error(engine));
  }
  state = (reader){0};
  source.size_bytes = tiny_model_size / 2;
  CHECK_STATUS(QUIRE_CORRUPT, open_source(engine, &source, NULL), quire_engine_last_error(engine));
  source.size_bytes = 0;
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, open_source(engine, &source, NULL), "");
  source.size_bytes = tiny_model_size;
  int calls_of_progress = 0;
  quire_model_options options = {.struct_size = sizeof options, .progress = stop_loading, .progress_user = &calls_of_progress};
  CHECK_STATUS(QUIRE_CANCELLED, open_source(engine, &source, &options), quire_engine_last_error(engine));
  CHECK(calls_of_progress == 1);
  options = (quire_model_options){.struct_size = sizeof options, .context_length = kContext + 1};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, open_source(engine, &source, &options), "");
  options = (quire_model_options){.struct_size = sizeof options, .arithmetic = (quire_arithmetic)2};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, open_source(engine, &source, &options), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_open(engine, &source, NULL, NULL), "");
  CHECK_OK(open_source(engine, &source, NULL), quire_engine_last_error(engine));
  quire_engine_memory memory = {.struct_size = sizeof memory};
  CHECK_OK(quire_engine_memory_used(engine, &memory), quire_engine_last_error(engine));
  CHECK(memory.buffer_bytes == 0 && memory.buffer_count == 0);
  close_engine(engine);
}

static void parents_outlive_children(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_session *session = open_session(model);
  quire_decoder *decoder = NULL;
  CHECK_OK(quire_decoder_create(model, &decoder), quire_model_last_error(model));
  NEED();
  CHECK_STATUS(QUIRE_BUSY, quire_engine_free(engine), "");
  CHECK_STATUS(QUIRE_BUSY, quire_model_free(model), "");
  CHECK(strstr(quire_model_last_error(model), "2 sessions or decoders") != NULL);
  close_session(session);
  CHECK_STATUS(QUIRE_BUSY, quire_model_free(model), "");
  CHECK_OK(quire_decoder_free(decoder), "");
  close_model(model);
  close_engine(engine);
}

static void file_contents(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_source source = {.struct_size = sizeof source, .path = tiny_model_path};
  quire_file *file = NULL;
  CHECK_OK(quire_file_open(engine, &source, &file), quire_engine_last_error(engine));
  NEED();
  int found = 0;
  for (size_t i = 0; i < quire_file_metadata_count(file); ++i) {
    quire_metadata entry = {.struct_size = sizeof entry};
    CHECK_OK(quire_file_metadata(file, i, &entry), quire_file_last_error(file));
    found += strcmp(entry.key, "general.architecture") == 0 && strcmp(entry.value, "llama") == 0 && strcmp(entry.type, "string") == 0;
    found += strcmp(entry.key, "tokenizer.ggml.tokens") == 0 && entry.count == kVocabulary;
  }
  CHECK(found == 2);
  quire_metadata entry = {.struct_size = sizeof entry};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_file_metadata(file, quire_file_metadata_count(file), &entry), "");
  quire_tensor tensor = {.struct_size = sizeof tensor};
  CHECK_OK(quire_file_tensor(file, 0, &tensor), quire_file_last_error(file));
  CHECK(strcmp(tensor.name, "token_embd.weight") == 0 && tensor.dimensions == 2 && tensor.shape[1] == kVocabulary && tensor.shape[2] == 1);
  CHECK(tensor.size_bytes == tensor.shape[0] * tensor.shape[1] * 4 && tensor.offset_bytes + tensor.size_bytes <= tiny_model_size);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_file_tensor(file, quire_file_tensor_count(file), &tensor), "");
  CHECK_STATUS(QUIRE_BUSY, quire_engine_free(engine), "");

  /* What is predicted is what is allocated. */
  quire_prediction predicted = {.struct_size = sizeof predicted};
  CHECK_OK(quire_file_predict(file, 0, QUIRE_PAGE_F16, QUIRE_PAGE_F16, &predicted), quire_file_last_error(file));
  CHECK(predicted.context_length == kContext && predicted.page_bytes >= predicted.page_bytes_per_token * kContext);
  quire_model *model = open_tiny_model(engine, NULL);
  NEED();
  quire_engine_memory memory = {.struct_size = sizeof memory};
  CHECK_OK(quire_engine_memory_used(engine, &memory), quire_engine_last_error(engine));
  quire_model_memory used = {.struct_size = sizeof used};
  CHECK_OK(quire_model_memory_used(model, &used), quire_model_last_error(model));
  CHECK(memory.buffer_bytes == used.weight_bytes + used.scratch_bytes + used.table_bytes);
  CHECK(used.weight_bytes == predicted.weight_bytes && used.scratch_bytes == predicted.scratch_bytes);
  quire_session *session = open_session(model);
  CHECK_OK(quire_engine_memory_used(engine, &memory), quire_engine_last_error(engine));
  CHECK(memory.buffer_bytes == used.weight_bytes + used.scratch_bytes + used.table_bytes + predicted.session_bytes);
  uint32_t tokens[kContext] = {0};
  CHECK_OK(quire_session_append(session, tokens, kContext, QUIRE_PHASE_PROMPT), quire_session_last_error(session));
  CHECK_OK(quire_session_run(session, NULL, NULL), quire_session_last_error(session));
  CHECK_OK(quire_model_memory_used(model, &used), quire_model_last_error(model));
  CHECK(used.table_bytes == predicted.table_bytes && used.page_bytes_used == predicted.page_bytes);
  quire_cache_group group = {.struct_size = sizeof group};
  CHECK(predicted.group_count == 1);
  CHECK_OK(quire_file_predict_group(file, 0, QUIRE_PAGE_F16, QUIRE_PAGE_F16, 0, &group), quire_file_last_error(file));
  CHECK(group.layers == 2 && group.window == 0 && group.most_pages == 0 && group.pages == kContext / group.tokens_per_page);
  CHECK(group.page_bytes == predicted.page_bytes && group.page_bytes_per_token == predicted.page_bytes_per_token);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_file_predict_group(file, 0, QUIRE_PAGE_F16, QUIRE_PAGE_F16, 1, &group), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_file_predict_group(file, 0, QUIRE_PAGE_F16, QUIRE_PAGE_F16, 0, NULL), "");
  CHECK_STATUS(QUIRE_UNSUPPORTED, quire_file_predict(file, 0, (quire_page_format)9, QUIRE_PAGE_F16, &predicted), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_file_predict(file, kContext + 1, QUIRE_PAGE_F16, QUIRE_PAGE_F16, &predicted), "");
  close_session(session);
  close_model(model);
  CHECK_OK(quire_file_free(file), "");
  close_engine(engine);
}

/* ---- the host's allocator ---- */

typedef struct counted_memory {
  size_t live, live_bytes, calls, fail_at;
} counted_memory;

static void *counted_allocate(void *user, size_t size, size_t alignment) {
  counted_memory *memory = user;
  if (++memory->calls == memory->fail_at) return NULL;
  ++memory->live;
  memory->live_bytes += size;
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void counted_deallocate(void *user, void *block, size_t size, size_t alignment) {
  counted_memory *memory = user;
  (void)alignment;
  --memory->live;
  memory->live_bytes -= size;
  free(block);
}

/* Opens, generates two tokens drawn from the whole vocabulary, closes. Stops at the first status that is not OK. */
static quire_status whole_life(const backend *on, counted_memory *memory) {
  quire_engine_options options = {.struct_size = sizeof options, .backend = on->kind, .allocator = {counted_allocate, counted_deallocate, memory}};
  quire_source source = {.struct_size = sizeof source, .path = tiny_model_path};
  quire_sampling sampling = {.struct_size = sizeof sampling, .temperature = 1.0f, .seed = 4};
  quire_engine *engine = NULL;
  quire_file *file = NULL;
  quire_model *model = NULL;
  quire_session *session = NULL;
  quire_decoder *decoder = NULL;
  quire_step *step = NULL;
  uint32_t token = 5;
  quire_status status = quire_engine_create(&options, &engine, NULL);
  if (status == QUIRE_OK) status = quire_file_open(engine, &source, &file);
  if (status == QUIRE_OK) status = quire_model_open(engine, &source, NULL, &model);
  if (status == QUIRE_OK) status = quire_session_create(model, NULL, &session);
  if (status == QUIRE_OK) status = quire_decoder_create(model, &decoder);
  for (int i = 0; i < 2 && status == QUIRE_OK; ++i) {
    status = quire_session_append(session, &token, 1, QUIRE_PHASE_PROMPT);
    if (status == QUIRE_OK) status = quire_step_begin(&session, 1, &step);
    if (status == QUIRE_OK) status = quire_step_finish(step, UINT64_MAX);
    quire_step_free(step);
    step = NULL;
    if (status == QUIRE_OK && on->computes) status = quire_session_sample(session, &sampling, &token);
  }
  CHECK_OK(quire_decoder_free(decoder), "");
  close_session(session);
  close_model(model);
  CHECK_OK(quire_file_free(file), "");
  close_engine(engine);
  return status;
}

static void allocators(const backend *on) {
  counted_memory memory = {0};
  CHECK_OK(whole_life(on, &memory), "with the host's allocator");
  CHECK(memory.live == 0 && memory.live_bytes == 0);
  CHECK(memory.calls >= 7);
  const size_t calls = memory.calls;
  for (size_t n = 1; n <= calls; ++n) {
    memory = (counted_memory){.fail_at = n};
    CHECK_STATUS(QUIRE_OUT_OF_HOST_MEMORY, whole_life(on, &memory), "when the host has no memory");
    CHECK(memory.live == 0 && memory.live_bytes == 0);
  }
}

static void keep_variants(void *user, const quire_device_info *device) { snprintf(user, 512, "%s", device->variants); }

static int count_or_stop(void *user, uint64_t done, uint64_t total) {
  int *calls = user;
  CHECK(done >= 1 && done <= total);
  return ++calls[0] != calls[1];
}

static void count_message(void *user, quire_log_level level, const char *message) {
  (void)level;
  CHECK(message[0] != '\0');
  ++*(int *)user;
}

/* Only the null device is opened here: it is quick, and what it measures is as good as any. */
static void tuning(const backend *on) {
  if (on->kind != QUIRE_BACKEND_NULL) return;
  char defaults[512] = "", variants[512] = "";
  quire_engine_options options = {.struct_size = sizeof options, .backend = on->kind};
  quire_error error = {.struct_size = sizeof error};
  CHECK_OK(quire_list_devices(&options, keep_variants, defaults, &error), error.message);
  CHECK(strstr(defaults, "chunk 256") != NULL);
  const struct {
    uint32_t tuning;
    const char *folder;
    int stop_at, calls_at_least, calls_at_most, messages;
  } runs[] = {
      {0, "no/such/folder", 0, 0, 0, 0},    /* not asked for */
      {1, NULL, 0, 0, 0, 0},                /* nowhere to keep it */
      {1, "no/such/folder", 0, 2, 1000, 1}, /* measured, used, and cannot be kept */
      {1, "no/such/folder", 2, 2, 2, 1},    /* stopped */
  };
  for (size_t i = 0; i < sizeof runs / sizeof runs[0]; ++i) {
    int calls[2] = {0, runs[i].stop_at}, messages = 0;
    options = (quire_engine_options){.struct_size = sizeof options, .backend = on->kind, .tuning = runs[i].tuning, .pipeline_cache_folder = runs[i].folder,
                                     .tuning_progress = count_or_stop, .tuning_progress_user = calls, .log = count_message, .log_user = &messages};
    quire_engine *engine = NULL;
    CHECK_OK(quire_engine_create(&options, &engine, &error), error.message);
    NEED();
    CHECK(calls[0] >= runs[i].calls_at_least && calls[0] <= runs[i].calls_at_most);
    CHECK(messages == runs[i].messages);
    quire_device_info info = {.struct_size = sizeof info};
    CHECK_OK(quire_engine_device(engine, &info), quire_engine_last_error(engine));
    if (runs[i].calls_at_most <= 2) CHECK(strcmp(info.variants, defaults) == 0);
    quire_engine_memory memory = {.struct_size = sizeof memory};
    CHECK_OK(quire_engine_memory_used(engine, &memory), quire_engine_last_error(engine));
    CHECK(memory.buffer_bytes == 0);
    close_engine(engine);
  }
  CHECK_OK(quire_list_devices(&options, keep_variants, variants, &error), error.message);
  CHECK(strcmp(variants, defaults) == 0);
}

static void copy_rate(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  NEED();
  quire_engine_memory before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
  CHECK_OK(quire_engine_memory_used(engine, &before), "");
  double rate = 0;
  CHECK_OK(quire_engine_measure_copy(engine, 1 << 20, &rate), quire_engine_last_error(engine));
  CHECK(rate > 1e6);
  CHECK_OK(quire_engine_memory_used(engine, &after), "");
  CHECK(after.buffer_bytes == before.buffer_bytes && after.buffer_count == before.buffer_count);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_engine_measure_copy(engine, 1 << 20, NULL), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_engine_measure_copy(engine, 6, &rate), "");
  CHECK(strstr(quire_engine_last_error(engine), "multiple of 4") != NULL);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_engine_measure_copy(engine, UINT64_MAX - 3, &rate), "");
  close_engine(engine);
}

const test_case engine_cases[] = {
    {"api: statuses have words and the library a version", words, 0},
    {"api: null handles are refused everywhere and freeing them is allowed", null_handles, 0},
    {"api: an engine that cannot be made says why and leaves no handle", refused_engines, 0},
    {"api: structs of older and newer headers are read and written as far as they reach", versions_of_structs, 1},
    {"api: devices are listed with what they are or why they are refused", device_list, 1},
    {"api: a model opens from a path or a callback; a bad source is a code and leaves nothing allocated", model_sources, 1},
    {"api: a parent with children is not freed", parents_outlive_children, 1},
    {"api: a file's contents can be listed and its prediction is what is allocated", file_contents, 1},
    {"api: copies between device buffers are timed and leave nothing allocated", copy_rate, 1},
    {"api: choices are tuned only where that is asked for and can be kept, and may be stopped", tuning, 1},
    {"api: the host's allocator gets everything back, and each call of it may fail", allocators, 1},
    {NULL, NULL, 0}};
