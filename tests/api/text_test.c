/* Tokenizing, templates, streaming text. */
#include <string.h>

#include "check.h"

static void tokenizing(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  NEED();
  uint32_t ids[8] = {77, 77, 77, 77, 77, 77, 77, 77};
  size_t count = 0;
  CHECK_OK(quire_model_tokenize(model, "hello", 5, 0, ids, 8, &count), quire_model_last_error(model));
  CHECK(count == 1 && ids[0] == 4 + 256 + 3);
  CHECK_OK(quire_model_tokenize(model, "abc", 3, 0, NULL, 0, &count), quire_model_last_error(model));
  CHECK(count == 3);
  ids[0] = 77;
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_tokenize(model, "abc", 3, 0, ids, 2, &count), "");
  CHECK(count == 3 && ids[0] == 77);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_tokenize(model, "abc", 3, 0, NULL, 2, &count), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_tokenize(model, "abc", 3, 0, ids, 8, NULL), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_tokenize(model, NULL, 3, 0, ids, 8, &count), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_tokenize(model, "abc", 3, 8, ids, 8, &count), "");
  CHECK_OK(quire_model_tokenize(model, NULL, 0, 0, ids, 8, &count), quire_model_last_error(model));
  CHECK(count == 0);
  CHECK_OK(quire_model_tokenize(model, "<|im_end|>", 10, QUIRE_TOKENIZE_SPECIAL, ids, 8, &count), quire_model_last_error(model));
  CHECK(count == 1 && ids[0] == kEndToken && quire_model_is_end_token(model, ids[0]) == 1);
  CHECK_OK(quire_model_tokenize(model, "<|im_end|>", 10, 0, NULL, 0, &count), quire_model_last_error(model));
  CHECK(count == 10);
  CHECK_OK(quire_model_tokenize(model, "\xff\x00\xc3", 3, 0, ids, 8, &count), quire_model_last_error(model));
  CHECK(count == 3);
  CHECK(quire_model_is_end_token(model, 10) == 0 && quire_model_is_end_token(model, UINT32_MAX) == 0);
  quire_model_info info = {.struct_size = sizeof info};
  CHECK_OK(quire_model_get_info(model, &info), quire_model_last_error(model));
  CHECK(strcmp(info.architecture, "llama") == 0 && info.vocabulary == kVocabulary && info.layers == 2 && info.context_length == kContext);
  CHECK(strcmp(info.chat_template, "chatml") == 0 && info.chat_template_error[0] == '\0' && info.eos_token == kEndToken);
  close_model(model);
  close_engine(engine);
}

static void templates(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  NEED();
  uint32_t whole[256], first[256], rest[256];
  size_t whole_count = 0, first_count = 0, rest_count = 0, count = 0;
  const quire_message messages[] = {{"user", "<|im_end|>", 10}, {"assistant", "abc", 3}, {"user", "d", 1}};
  CHECK_OK(quire_model_apply_template(model, messages, 1, 0, first, 256, &first_count), quire_model_last_error(model));
  size_t ends = 0;
  for (size_t i = 0; i < first_count; ++i) ends += first[i] == kEndToken;
  CHECK(ends == 1); /* the template's own; the user's text is plain */
  CHECK_OK(quire_model_apply_template(model, messages, 3, 0, whole, 256, &whole_count), quire_model_last_error(model));
  CHECK_OK(quire_model_apply_template(model, messages, 3, 2, rest, 256, &rest_count), quire_model_last_error(model));
  uint32_t answer[8];
  CHECK_OK(quire_model_tokenize(model, "abc", 3, 0, answer, 8, &count), quire_model_last_error(model));
  /* first + answer + rest is the whole conversation. */
  CHECK(first_count + count + rest_count == whole_count);
  NEED();
  CHECK(memcmp(whole, first, first_count * sizeof *whole) == 0);
  CHECK(memcmp(whole + first_count, answer, count * sizeof *whole) == 0);
  CHECK(memcmp(whole + first_count + count, rest, rest_count * sizeof *whole) == 0);
  const quire_message stranger = {"stranger", "x", 1};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_apply_template(model, &stranger, 1, 0, whole, 256, &count), "");
  const quire_message nobody = {NULL, "x", 1};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_apply_template(model, &nobody, 1, 0, whole, 256, &count), "");
  const quire_message nothing = {"user", NULL, 1};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_apply_template(model, &nothing, 1, 0, whole, 256, &count), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_apply_template(model, messages, 0, 0, whole, 256, &count), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_apply_template(model, messages, 3, 1, whole, 256, &count), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_apply_template(model, messages, 3, 4, whole, 256, &count), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_apply_template(model, messages, 3, 0, whole, 3, &count), "");
  CHECK(count == whole_count);
  close_model(model);
  close_engine(engine);
}

static void chosen_templates(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model_options options = {.struct_size = sizeof options, .chat_template = "zephyr"};
  quire_model *model = open_tiny_model(engine, &options);
  NEED();
  quire_model_info info = {.struct_size = sizeof info};
  CHECK_OK(quire_model_get_info(model, &info), quire_model_last_error(model));
  CHECK(strcmp(info.chat_template, "zephyr") == 0);
  const quire_message message = {"user", "x", 1};
  uint32_t ids[64];
  size_t count = 0;
  CHECK_OK(quire_model_apply_template(model, &message, 1, 0, ids, 64, &count), quire_model_last_error(model));
  /* "<|user|>\nx", the vocabulary's EOS, "\n<|assistant|>\n", the rest being bytes. */
  CHECK(count == 10 + 1 + 15 && ids[10] == kEndToken);
  close_model(model);
  options.chat_template = "no such template";
  quire_model *none = NULL;
  const quire_source source = {.struct_size = sizeof source, .path = tiny_model_path};
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_model_open(engine, &source, &options, &none), "");
  CHECK(none == NULL && strstr(quire_engine_last_error(engine), "llama-2") != NULL);
  close_engine(engine);
}

static void streaming(const backend *on) {
  quire_engine *engine = open_engine(on, NULL);
  quire_model *model = open_tiny_model(engine, NULL);
  quire_decoder *decoder = NULL;
  CHECK_OK(quire_decoder_create(model, &decoder), quire_model_last_error(model));
  NEED();
  const uint32_t euro[] = {4 + 0xE2, 4 + 0x82, 4 + 0xAC};
  const char *text = NULL;
  size_t bytes = 1;
  for (int round = 0; round < 2; ++round) {
    CHECK_OK(quire_decoder_push(decoder, euro[0], &text, &bytes), quire_decoder_last_error(decoder));
    CHECK(bytes == 0);
    CHECK_OK(quire_decoder_push(decoder, euro[1], &text, &bytes), quire_decoder_last_error(decoder));
    CHECK(bytes == 0);
    CHECK_OK(quire_decoder_push(decoder, euro[2], &text, &bytes), quire_decoder_last_error(decoder));
    CHECK(bytes == 3 && memcmp(text, "\xE2\x82\xAC", 3) == 0);
    CHECK_OK(quire_decoder_push(decoder, kEndToken, &text, &bytes), quire_decoder_last_error(decoder));
    CHECK(bytes == 0);
    CHECK_OK(quire_decoder_push(decoder, euro[0], &text, &bytes), quire_decoder_last_error(decoder));
    CHECK_OK(quire_decoder_flush(decoder, &text, &bytes), quire_decoder_last_error(decoder));
    CHECK(bytes == 3 && memcmp(text, "\xEF\xBF\xBD", 3) == 0);
  }
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_decoder_push(decoder, kVocabulary, &text, &bytes), "");
  CHECK(strstr(quire_decoder_last_error(decoder), "300") != NULL);
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_decoder_push(decoder, 5, NULL, &bytes), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_decoder_flush(decoder, &text, NULL), "");
  CHECK_STATUS(QUIRE_INVALID_ARGUMENT, quire_decoder_create(model, NULL), "");
  CHECK_OK(quire_decoder_free(decoder), "");
  close_model(model);
  close_engine(engine);
}

const test_case text_cases[] = {{"api: text becomes ids; small buffers stay untouched and learn the length", tokenizing, 0},
                                {"api: a conversation's continuation joins up with its beginning, and user text has no special tokens", templates, 0},
                                {"api: a template can be chosen by its name, and an unknown name is refused with those that are known", chosen_templates, 0},
                                {"api: streamed text is whole characters", streaming, 0},
                                {NULL, NULL, 0}};
