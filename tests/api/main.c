/* Runs every case on every backend it is meant for. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

const unsigned char *make_tiny_model(size_t *size_bytes);

const char *tiny_model_path = "api_test_tiny.gguf";
const unsigned char *tiny_model_bytes;
size_t tiny_model_size;

static int failures_of_case;

void check_failed(const char *file, int line, const char *what) {
  ++failures_of_case;
  printf("%s:%d: %s\n", file, line, what);
}

void check_status(const char *file, int line, quire_status expected, quire_status got, const char *message) {
  if (expected == got) return;
  ++failures_of_case;
  printf("%s:%d: expected %s, got %s: %s\n", file, line, quire_status_name(expected), quire_status_name(got), message);
}

int case_has_failed(void) { return failures_of_case != 0; }

static void fail_on_message(void *user, quire_log_level level, const char *message) {
  (void)user;
  (void)level;
  ++failures_of_case;
  printf("message of the library: %s\n", message);
}

quire_engine *open_engine(const backend *on, const quire_engine_options *given) {
  quire_engine_options options = {0};
  if (given != NULL) options = *given;
  options.struct_size = sizeof options;
  options.backend = on->kind;
  options.validation = on->kind == QUIRE_BACKEND_VULKAN;
  if (options.log == NULL) options.log = fail_on_message;
  quire_error error = {.struct_size = sizeof error};
  quire_engine *engine = NULL;
  CHECK_OK(quire_engine_create(&options, &engine, &error), error.message);
  return engine;
}

quire_model *open_tiny_model(quire_engine *engine, const quire_model_options *options) {
  quire_source source = {.struct_size = sizeof source, .path = tiny_model_path};
  quire_model *model = NULL;
  CHECK_OK(quire_model_open(engine, &source, options, &model), quire_engine_last_error(engine));
  return model;
}

quire_session *open_session(quire_model *model) {
  quire_session *session = NULL;
  CHECK_OK(quire_session_create(model, NULL, &session), quire_model_last_error(model));
  return session;
}

void close_session(quire_session *session) { CHECK_OK(quire_session_free(session), quire_session_last_error(session)); }
void close_model(quire_model *model) { CHECK_OK(quire_model_free(model), quire_model_last_error(model)); }
void close_engine(quire_engine *engine) { CHECK_OK(quire_engine_free(engine), quire_engine_last_error(engine)); }

static int passed, failed;

/* With --host only the devices that compute in this process's own code: what a thread sanitizer can judge. */
static size_t backend_count = 3;

static void run_cases(const test_case *cases, const char *only) {
  static const backend backends[] = {
      {QUIRE_BACKEND_REFERENCE, "reference", 1}, {QUIRE_BACKEND_NULL, "null", 0}, {QUIRE_BACKEND_VULKAN, "vulkan", 1}};
  for (const test_case *one = cases; one->name != NULL; ++one)
    for (size_t i = 0; i < (one->every_backend ? backend_count : 1u); ++i) {
      if (only != NULL && strstr(one->name, only) == NULL) continue;
      failures_of_case = 0;
      one->run(&backends[i]);
      if (failures_of_case != 0) printf("TEST CASE:  %s (%s)\n", one->name, backends[i].name);
      if (failures_of_case == 0)
        ++passed;
      else
        ++failed;
    }
}

int main(int argc, char **argv) {
  const int host_only = argc > 1 && strcmp(argv[1], "--host") == 0;
  const char *only = argc > 1 && !host_only ? argv[1] : NULL;
  if (host_only) backend_count = 2;
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* a crash is to leave what was printed */
  /* The validation layer's library stays, so that a report of its own leaks can name it and the suppressions match. */
  if (!host_only) dlopen("libVkLayer_khronos_validation.so", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
  tiny_model_bytes = make_tiny_model(&tiny_model_size);
  FILE *file = fopen(tiny_model_path, "wb");
  if (file == NULL || fwrite(tiny_model_bytes, 1, tiny_model_size, file) != tiny_model_size || fclose(file) != 0) {
    printf("cannot write %s\n", tiny_model_path);
    return 1;
  }
  run_cases(engine_cases, only);
  run_cases(text_cases, only);
  run_cases(session_cases, only);
  run_cases(step_cases, only);
  remove(tiny_model_path);
  printf("totals: %d passed, %d failed, 0 skipped\n", passed, failed);
  return failed != 0 || passed == 0;
}
