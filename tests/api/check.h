/* The few lines that a C test program needs: checks, cases run once on each backend, and the closing line that ./check adds up. */
#ifndef QUIRE_TESTS_API_CHECK_H
#define QUIRE_TESTS_API_CHECK_H

#include <quire/quire.h>
#include <stddef.h>
#include <stdint.h>

void check_failed(const char *file, int line, const char *what);
#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))
/* A call that must succeed; its handle's message is printed otherwise. */
void check_status(const char *file, int line, quire_status expected, quire_status got, const char *message);
#define CHECK_OK(call, message) check_status(__FILE__, __LINE__, QUIRE_OK, (call), (message))
#define CHECK_STATUS(expected, call, message) check_status(__FILE__, __LINE__, (expected), (call), (message))

/* Returns from the case if an earlier check of it failed: what follows needs what it made. */
int case_has_failed(void);
#define NEED()               \
  do {                       \
    if (case_has_failed()) return; \
  } while (0)

typedef struct backend {
  quire_backend kind;
  const char *name;
  int computes; /* 0: the null device, whose results mean nothing */
} backend;

typedef void (*case_function)(const backend *on);
typedef struct test_case {
  const char *name;
  case_function run;
  int every_backend; /* 0: once, on the reference device */
} test_case;

extern const test_case engine_cases[], text_cases[], session_cases[], step_cases[];

/* An engine on a backend, with validation on Vulkan: any message fails the case. */
quire_engine *open_engine(const backend *on, const quire_engine_options *options);
/* The tiny model (two layers, 300 tokens of vocabulary, a context of 512) on an engine. */
quire_model *open_tiny_model(quire_engine *engine, const quire_model_options *options);
quire_session *open_session(quire_model *model);
void close_session(quire_session *session);
void close_model(quire_model *model);
void close_engine(quire_engine *engine);

/* Path of the tiny model's file, and its bytes. */
extern const char *tiny_model_path;
extern const unsigned char *tiny_model_bytes;
extern size_t tiny_model_size;

/* The same with three layers, of which the first two see 70 tokens. */
const unsigned char *make_windowed_model(size_t *size_bytes);

enum { kVocabulary = 300, kContext = 512, kEndToken = 2 };

#endif
