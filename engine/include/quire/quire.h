/* quire.h: the public interface of Quire, an engine that runs language models on GPUs through a paged KV cache. C11, also valid C++.
 *
 * Objects. An engine owns one device. Models belong to an engine; sessions and decoders to a model; a step borrows sessions. Handles are
 * opaque; whoever created one frees it. A parent cannot be freed while it has children: the call answers QUIRE_BUSY and frees nothing.
 *
 * Options. Every option struct starts with `struct_size`, which the caller sets to sizeof(the struct); a struct of an older header is
 * accepted, its missing fields count as zero. Zero always means "the default". A null pointer to options means all defaults.
 *
 * Errors. A call that can fail returns a quire_status and changes nothing unless it says so. The sentence behind the last failure belongs to
 * the handle that the call was made on (the first parameter) and stays until the next failing call on that handle: quire_engine_last_error and
 * its kin. Calls made before any handle exists take a quire_error. Nothing throws, aborts or exits.
 *
 * Threads. An engine and all that was made from it are used by one thread at a time; different engines are independent.
 * quire_session_cancel may be called at any time from any thread and from a signal handler. Callbacks run on the calling thread, inside the call.
 * The library starts no threads, reads no environment variables and installs no signal handlers.
 *
 * Text is UTF-8. Lengths are given in bytes, without a terminating zero, wherever a `_bytes` parameter stands beside the text.
 * Results of unknown length: `count` receives the full length; a buffer that is too small is left alone and the call returns
 * QUIRE_INVALID_ARGUMENT; a null buffer with capacity 0 asks for the length alone and is no error. */
#ifndef QUIRE_QUIRE_H
#define QUIRE_QUIRE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(QUIRE_SHARED_BUILD)
#define QUIRE_API __declspec(dllexport)
#elif defined(_WIN32) && defined(QUIRE_SHARED)
#define QUIRE_API __declspec(dllimport)
#elif defined(__GNUC__)
#define QUIRE_API __attribute__((visibility("default")))
#else
#define QUIRE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define QUIRE_VERSION_MAJOR 0
#define QUIRE_VERSION_MINOR 1
#define QUIRE_VERSION_PATCH 0

typedef struct quire_engine quire_engine;
typedef struct quire_file quire_file;
typedef struct quire_model quire_model;
typedef struct quire_session quire_session;
typedef struct quire_step quire_step;
typedef struct quire_decoder quire_decoder;

typedef enum quire_status {
  QUIRE_OK = 0,
  QUIRE_INVALID_ARGUMENT = 1,     /* no meaning: a null handle, a bad option, size or token id, a buffer that is too small */
  QUIRE_UNSUPPORTED = 2,          /* meaningful, but not on this device, build or version */
  QUIRE_NOT_FOUND = 3,            /* a file, device or name that does not exist */
  QUIRE_IO = 4,                   /* reading or writing failed */
  QUIRE_CORRUPT = 5,              /* a file breaks its format's rules */
  QUIRE_OUT_OF_HOST_MEMORY = 6,
  QUIRE_OUT_OF_DEVICE_MEMORY = 7,
  QUIRE_OUT_OF_PAGES = 8,         /* the cache budget is used up: free, reset or truncate a session and try again */
  QUIRE_CONTEXT_FULL = 9,         /* the session would become longer than the model's context */
  QUIRE_DEVICE_LOST = 10,         /* sticky: every later call that needs the device answers the same */
  QUIRE_TIMEOUT = 11,
  QUIRE_CANCELLED = 12,
  QUIRE_BUSY = 13,                /* in a step, or has children */
  QUIRE_NON_FINITE = 14,          /* a computation produced NaN or infinity */
  QUIRE_INTERNAL = 15,            /* a broken invariant of the library itself */
  QUIRE_STATUS_FORCE_32_BITS = 0x7fffffff
} quire_status;

/* A word for a status, such as "out_of_pages"; "unknown" for any other value. Static. Any thread. */
QUIRE_API const char *quire_status_name(quire_status status);
/* The version of the library linked, such as "0.1.0". Static. Any thread. */
QUIRE_API const char *quire_version(void);

/* Filled by calls that fail before a handle exists. The caller sets struct_size; `message` always ends with a zero. */
typedef struct quire_error {
  size_t struct_size;
  quire_status status;
  char message[508];
} quire_error;

/* ---- Engine: one device ------------------------------------------------------------------------------------------------------------------ */

typedef enum quire_backend {
  QUIRE_BACKEND_VULKAN = 0,
  QUIRE_BACKEND_REFERENCE = 1,    /* plain loops on the CPU: slow, the oracle of the tests */
  QUIRE_BACKEND_NULL = 2,         /* accepts everything, computes nothing: tests of hosts and of bookkeeping */
  QUIRE_BACKEND_CUDA = 3,
  QUIRE_BACKEND_FORCE_32_BITS = 0x7fffffff
} quire_backend;

typedef enum quire_log_level {
  QUIRE_LOG_ERROR = 0,
  QUIRE_LOG_WARNING = 1,
  QUIRE_LOG_INFO = 2,
  QUIRE_LOG_FORCE_32_BITS = 0x7fffffff
} quire_log_level;

/* `message` has no newline and is valid during the call. */
typedef void (*quire_log_function)(void *user, quire_log_level level, const char *message);

/* Memory of the host's own. Both functions or neither. `allocate` returns null when there is none; the call that needed it then answers
 * QUIRE_OUT_OF_HOST_MEMORY. `size_bytes` and `alignment` are given again on release.
 * It serves the handle objects (engine, file, model, session, step, decoder) and the candidate arrays of sampling, which are as long as the
 * vocabulary. Parsed metadata, vocabulary tables, logits read back and the driver's own memory come from the system. */
typedef struct quire_allocator {
  void *(*allocate)(void *user, size_t size_bytes, size_t alignment);
  void (*deallocate)(void *user, void *memory, size_t size_bytes, size_t alignment);
  void *user;
} quire_allocator;

/* How far a long call is, in bytes or in measurements. Returns 0 to stop it. */
typedef int (*quire_progress_function)(void *user, uint64_t done, uint64_t total);

/* A submission bound of "none"; 0 is the default, 100 ms on a GPU and none on a CPU device. */
#define QUIRE_NO_SUBMISSION_BOUND UINT64_MAX

typedef struct quire_engine_options {
  size_t struct_size;
  quire_backend backend;
  uint32_t validation;             /* 1: Vulkan's validation layers (core, synchronization); messages go to `log` */
  const char *device;              /* Vulkan: an index of quire_list_devices, a part of a name, or a UUID; null or "": the best usable one */
  const char *pipeline_cache_folder; /* an existing folder for compiled pipelines; null: none is kept. Damaged or foreign files are ignored */
  uint64_t submission_bound_ns;    /* longest estimated time of one submission to the device */
  uint64_t cache_budget_bytes;     /* most device memory for pages, over all models of the engine; 0: for each model 90 % of what is left */
  quire_log_function log;
  void *log_user;
  quire_allocator allocator;
  uint32_t timestamps;             /* 1: measure every kernel on the device (quire_engine_take_kernel_times) */
  uint32_t tuning;                 /* 1: take those choices that change no result from pipeline_cache_folder; where it has none for this device and driver,
                                    * measure them, up to 3 s a start and in four starts at most, and write them there. No folder, or 0: defaults */
  quire_progress_function tuning_progress; /* counts measurements; null: none is shown */
  void *tuning_progress_user;
} quire_engine_options;

typedef enum quire_device_type {
  QUIRE_DEVICE_DISCRETE = 0,
  QUIRE_DEVICE_INTEGRATED = 1,
  QUIRE_DEVICE_VIRTUAL = 2,
  QUIRE_DEVICE_CPU = 3,
  QUIRE_DEVICE_OTHER = 4,
  QUIRE_DEVICE_FORCE_32_BITS = 0x7fffffff
} quire_device_type;

#define QUIRE_NO_INDEX UINT32_MAX

/* Strings live as long as the callback or the engine that the struct was got from. */
typedef struct quire_device_info {
  size_t struct_size;
  quire_backend backend;
  quire_device_type type;
  uint32_t index;                  /* in quire_list_devices of its backend; QUIRE_NO_INDEX from quire_engine_device */
  uint32_t usable;                 /* 0: `refusal` says why */
  const char *name;
  const char *driver;              /* name and version */
  const char *api_version;
  const char *refusal;             /* "" if usable */
  const char *variants;            /* the tuning choices for this device; with device and driver they fix every rounding */
  uint8_t uuid[16];
  uint32_t vendor_id;
  uint32_t device_id;
  uint64_t memory_bytes;           /* of the heap that device buffers come from; 0: unknown */
  uint64_t max_buffer_bytes;
  uint32_t subgroup_size;          /* lanes */
  uint32_t max_workgroup_invocations;
  uint32_t max_shared_bytes;       /* of a workgroup */
  uint32_t reserved;
} quire_device_info;

typedef void (*quire_device_callback)(void *user, const quire_device_info *device);

/* Calls `callback` for every device of options->backend, usable or not, best first. All options are checked; backend, validation, log, and for `variants`
 * pipeline_cache_folder and tuning are used; nothing is measured.
 * On error: unsupported (the backend is not built, or has no driver here). `error` may be null. */
QUIRE_API quire_status quire_list_devices(const quire_engine_options *options, quire_device_callback callback, void *user, quire_error *error);

/* Opens a device. Tuning that fails or is stopped leaves the defaults and a word in the log. On error: not_found (no such device), unsupported (the device lacks what the message names), out_of_*_memory;
 * *engine is null and `error`, if given, has the sentence. */
QUIRE_API quire_status quire_engine_create(const quire_engine_options *options, quire_engine **engine, quire_error *error);
/* Waits for work in flight. Null is allowed. On error: busy (a model or file is alive). */
QUIRE_API quire_status quire_engine_free(quire_engine *engine);
/* "" if no call on this handle failed. Never null. Valid until the next failing call on the handle. */
QUIRE_API const char *quire_engine_last_error(const quire_engine *engine);
QUIRE_API quire_status quire_engine_device(quire_engine *engine, quire_device_info *info);

typedef struct quire_engine_memory {
  size_t struct_size;
  uint64_t buffer_bytes;           /* in the engine's device buffers */
  uint64_t buffer_count;
  uint64_t heap_used_bytes;        /* by this process, as the driver tells; 0: it does not */
  uint64_t heap_budget_bytes;
} quire_engine_memory;
QUIRE_API quire_status quire_engine_memory_used(quire_engine *engine, quire_engine_memory *memory);

/* One kernel's share of the device time since the last call. */
typedef struct quire_kernel_time {
  size_t struct_size;
  const char *kernel;
  const char *weight_type;         /* "" where the kernel reads no weights */
  uint64_t dispatches;
  uint64_t gpu_ns;
  uint64_t moved_bytes;            /* estimated from shapes */
  uint64_t multiply_adds;
} quire_kernel_time;
typedef void (*quire_kernel_time_callback)(void *user, const quire_kernel_time *row);
/* Rows are merged by kernel and weight type, longest first, and forgotten afterwards. On error: invalid_argument (timestamps are off),
 * unsupported (the device has none), device_lost. */
QUIRE_API quire_status quire_engine_take_kernel_times(quire_engine *engine, quire_kernel_time_callback callback, void *user);
/* How fast the device copies between its own buffers: *bytes_per_s counts bytes read plus bytes written. Waits, and takes twice size_bytes of
 * device memory meanwhile; 0: 128 MiB. On error: invalid_argument (no multiple of 4, larger than a buffer can be), out_of_device_memory, device_lost, timeout. */
QUIRE_API quire_status quire_engine_measure_copy(quire_engine *engine, uint64_t size_bytes, double *bytes_per_s);
/* Writes pipelines compiled so far to pipeline_cache_folder, if one was given. quire_engine_free does so too. On error: io. */
QUIRE_API quire_status quire_engine_save_pipeline_cache(quire_engine *engine);

/* ---- Files: what a model file says, without loading it ----------------------------------------------------------------------------------- */

/* Where a model comes from: a path, or the host's own reading (an archive, a network store). */
typedef struct quire_source {
  size_t struct_size;
  const char *path;                /* UTF-8; null: read_at is used */
  /* Fills `buffer` with exactly size_bytes bytes from offset_bytes, which lie in [0, size_bytes of the source). Returns 0, or anything else on failure. */
  int (*read_at)(void *user, uint64_t offset_bytes, void *buffer, size_t size_bytes);
  uint64_t size_bytes;             /* of the whole source, with read_at */
  void *user;                      /* must live as long as the file or model */
} quire_source;

/* Reads and checks a file's header, metadata and tensor list. On error: not_found, io, corrupt, out_of_host_memory. */
QUIRE_API quire_status quire_file_open(quire_engine *engine, const quire_source *source, quire_file **file);
QUIRE_API quire_status quire_file_free(quire_file *file);
QUIRE_API const char *quire_file_last_error(const quire_file *file);

typedef struct quire_metadata {
  size_t struct_size;
  const char *key;
  const char *type;                /* "uint32", "string", "array of string", ... */
  const char *value;               /* as text; of an array at most its first eight elements */
  uint64_t count;                  /* elements of an array, else 1 */
} quire_metadata;
QUIRE_API size_t quire_file_metadata_count(const quire_file *file);
/* Strings live until the next call of this function on this file. On error: invalid_argument (index). */
QUIRE_API quire_status quire_file_metadata(quire_file *file, size_t index, quire_metadata *metadata);

typedef struct quire_tensor {
  size_t struct_size;
  const char *name;
  const char *type;                /* "Q4_1", ... */
  uint64_t shape[4];               /* fastest-changing first, as in the file; unused ones 1 */
  uint32_t dimensions;
  uint32_t reserved;
  uint64_t offset_bytes;           /* in the file */
  uint64_t size_bytes;
} quire_tensor;
QUIRE_API size_t quire_file_tensor_count(const quire_file *file);
/* Strings live as long as the file. On error: invalid_argument (index). */
QUIRE_API quire_status quire_file_tensor(quire_file *file, size_t index, quire_tensor *tensor);

typedef enum quire_page_format {
  QUIRE_PAGE_F16 = 0,
  QUIRE_PAGE_F32 = 1,
  QUIRE_PAGE_Q8 = 2, /* signed bytes, and an f16 scale for each 32 elements of a head: 8.5 bits an element */
  QUIRE_PAGE_FORCE_32_BITS = 0x7fffffff
} quire_page_format;

/* What a model of default options takes on the engine's device: computed before anything is allocated, and equal to what is allocated then. */
typedef struct quire_prediction {
  size_t struct_size;
  uint64_t weight_bytes;
  uint64_t scratch_bytes;          /* activations, attention partials, logits */
  uint64_t table_bytes;            /* inputs of a step, and page tables of one session as long as `context_length` */
  uint64_t session_bytes;          /* of every session, besides its pages and their tables */
  uint64_t page_bytes_per_token;   /* over all layers, before windows */
  uint64_t page_bytes;             /* whole pages of one session as long as `context_length` */
  uint32_t context_length;         /* the one asked about; what the model was trained for if that was 0 */
  uint32_t group_count;            /* of cache groups */
} quire_prediction;
/* The verdict: QUIRE_OK if this build runs the file on the engine's device, otherwise unsupported, corrupt or out_of_device_memory with the
 * reason in quire_file_last_error; *prediction is filled unless unsupported or corrupt. context_length 0: what the model was trained for. */
QUIRE_API quire_status quire_file_predict(quire_file *file, uint32_t context_length, quire_page_format k_format, quire_page_format v_format,
                                          quire_prediction *prediction);

/* A cache group: the layers of a model that share pages, because they see equally many tokens. */
typedef struct quire_cache_group {
  size_t struct_size;
  uint32_t layers;                 /* of the model's, in this group */
  uint32_t window;                 /* the newest tokens that they see; 0: all */
  uint32_t tokens_per_page;
  uint32_t most_pages;             /* that one session holds between steps, however long it is; during a step a chunk's more. 0: no such bound */
  uint64_t pages;                  /* held between steps by whom was asked about: a file's session to come, a model's sessions, a session */
  uint64_t page_bytes;             /* in these pages */
  uint64_t page_bytes_per_token;   /* in the formats given or the session's; 0 of a model, whose sessions may differ */
} quire_cache_group;
/* What quire_file_predict says, by group: pages of one session as long as `context_length`. On error: as quire_file_predict, and
 * invalid_argument (index outside quire_prediction.group_count). */
QUIRE_API quire_status quire_file_predict_group(quire_file *file, uint32_t context_length, quire_page_format k_format, quire_page_format v_format,
                                                size_t index, quire_cache_group *group);

/* ---- Models ------------------------------------------------------------------------------------------------------------------------------ */

/* A generated token's step as one dispatch whose workgroups wait for one another: several times fewer hand-overs between a software device's threads, the
 * same bits. Where a probe at quire_model_open shows that it can be (quire_model_info.persistent_why_not); it needs a processor to itself. */
typedef enum quire_persistent { QUIRE_PERSISTENT_OFF = 0, QUIRE_PERSISTENT_IF_POSSIBLE = 1 } quire_persistent;

/* What multiplies prompt tokens with quantized weights. INT8 rounds activations to 8 bits, 32 to a scale: other results (mean KL divergence up to 5e-3).
 * It needs a device with integer dot products. Generated tokens are multiplied in floats either way. */
typedef enum quire_arithmetic { QUIRE_ARITHMETIC_FLOAT = 0, QUIRE_ARITHMETIC_INT8 = 1, QUIRE_ARITHMETIC_FORCE_32_BITS = 0x7fffffff } quire_arithmetic;
typedef struct quire_model_options {
  size_t struct_size;
  uint32_t context_length;         /* longest session, in tokens; 0: what the model was trained for */
  uint32_t chunk;                  /* most prompt tokens that one step computes; 0: chosen from the device */
  uint64_t slab_bytes;             /* pages are taken from the device in pieces of this size; 0: 128 MiB */
  quire_progress_function progress; /* counts bytes; stopped, the call answers QUIRE_CANCELLED */
  void *progress_user;
  const char *chat_template;       /* a template by its name, such as "chatml"; null or "": recognised from the file's own */
  quire_persistent persistent;     /* how tokens of one session are generated on software devices */
  quire_arithmetic arithmetic;
} quire_model_options;

/* Reads the file, checks it and brings the weights to the device. On error: not_found, io, corrupt, invalid_argument (a template of no known name: the message
 * lists them; no quire_arithmetic), unsupported (names the architecture, weight type, tokenizer or what the device lacks), out_of_*_memory, cancelled,
 * device_lost; the message is quire_engine_last_error's. */
QUIRE_API quire_status quire_model_open(quire_engine *engine, const quire_source *source, const quire_model_options *options, quire_model **model);
/* Null is allowed. On error: busy (a session or decoder is alive). */
QUIRE_API quire_status quire_model_free(quire_model *model);
QUIRE_API const char *quire_model_last_error(const quire_model *model);

#define QUIRE_NO_TOKEN UINT32_MAX

/* Strings live as long as the model. */
typedef struct quire_model_info {
  size_t struct_size;
  const char *architecture;
  const char *name;                /* general.name, or "" */
  const char *chat_template;       /* the name of the template chosen or recognised, or "" */
  const char *chat_template_error; /* why there is none, or "" */
  uint32_t vocabulary;             /* token ids are 0 .. vocabulary - 1 */
  uint32_t layers;
  uint32_t embedding;              /* width of the hidden state */
  uint32_t context_trained;        /* tokens */
  uint32_t context_length;         /* the limit of this model's sessions */
  uint32_t chunk;
  uint32_t bos_token;              /* QUIRE_NO_TOKEN: none */
  uint32_t eos_token;
  const char *persistent_why_not;  /* why steps do not run as one dispatch, or "" where they do; valid until the next call on the model */
  uint32_t persistent_workers;     /* workgroups that were seen to run at the same time; 0: not in use */
  const char *variants;            /* quire_device_info.variants, with the model's arithmetic */
} quire_model_info;
QUIRE_API quire_status quire_model_get_info(quire_model *model, quire_model_info *info);

/* As allocated. */
typedef struct quire_model_memory {
  size_t struct_size;
  uint64_t weight_bytes;
  uint64_t scratch_bytes;
  uint64_t slab_bytes;             /* device memory taken for pages, used or not */
  uint64_t pages_used;
  uint64_t page_bytes_used;
  uint64_t table_bytes;            /* page tables and inputs of a step */
} quire_model_memory;
QUIRE_API quire_status quire_model_memory_used(quire_model *model, quire_model_memory *memory);
QUIRE_API size_t quire_model_group_count(const quire_model *model);
/* Pages of all sessions. On error: invalid_argument (index). */
QUIRE_API quire_status quire_model_get_group(quire_model *model, size_t index, quire_cache_group *group);

/* ---- Text -------------------------------------------------------------------------------------------------------------------------------- */

#define QUIRE_TOKENIZE_SPECIAL 1u  /* special tokens written in the text become their ids; otherwise they are plain text */
#define QUIRE_TOKENIZE_BOS 2u      /* put the BOS id first if the model's file asks for one */

/* Text to ids. Any bytes are accepted; what is not UTF-8 passes through as bytes. On error: invalid_argument (flags, buffer, over 1 GiB). */
QUIRE_API quire_status quire_model_tokenize(quire_model *model, const char *text, size_t text_bytes, uint32_t flags, uint32_t *tokens,
                                            size_t capacity, size_t *count);
/* 1 if the model ends its answer with this id, else 0. */
QUIRE_API int quire_model_is_end_token(const quire_model *model, uint32_t token);

typedef struct quire_message {
  const char *role;                /* "system", "user" or "assistant" */
  const char *content;
  size_t content_bytes;
} quire_message;

/* Writes a conversation as ids with the model's own chat template, ending where the assistant's answer begins. Special tokens come from the
 * template alone, never from `content`. A model with a default system message gets it unless the first message is a system message.
 * `from`: how many leading messages a session already holds. 0: all are written. Otherwise messages[from - 1] is the assistant's, as it was
 * generated and without an end token, and the ids begin with what closes that turn; appended to the session, they continue it.
 * On error: not_found (the model's file has no template), unsupported (it has one that is not recognised: quire_model_options.chat_template can
 * choose one), invalid_argument (a role; `from`; a system message that no user's message follows, where the template writes it into that). */
QUIRE_API quire_status quire_model_apply_template(quire_model *model, const quire_message *messages, size_t message_count, size_t from,
                                                  uint32_t *tokens, size_t capacity, size_t *count);

/* A streaming decoder: ids to text that is valid UTF-8 at every moment. Pieces of a character are kept until it is complete. */
QUIRE_API quire_status quire_decoder_create(quire_model *model, quire_decoder **decoder);
QUIRE_API quire_status quire_decoder_free(quire_decoder *decoder);
QUIRE_API const char *quire_decoder_last_error(const quire_decoder *decoder);
/* *text is valid until the next call on the decoder. Special tokens give no text. The first token begins a text: where a vocabulary puts a space before a
 * text, it is left out. To decode what continues a prompt, push the prompt's ids first. On error: invalid_argument (outside the vocabulary). */
QUIRE_API quire_status quire_decoder_push(quire_decoder *decoder, uint32_t token, const char **text, size_t *text_bytes);
/* Ends the text: the kept bytes of an incomplete character come out as U+FFFD. The decoder can be used again. */
QUIRE_API quire_status quire_decoder_flush(quire_decoder *decoder, const char **text, size_t *text_bytes);

/* ---- Sessions: a timeline of tokens with its keys and values in pages -------------------------------------------------------------------- */

typedef struct quire_session_options {
  size_t struct_size;
  quire_page_format k_format;      /* of keys in new pages */
  quire_page_format v_format;      /* of values */
} quire_session_options;

/* Takes no pages yet. On error: unsupported (format), out_of_*_memory, device_lost. */
QUIRE_API quire_status quire_session_create(quire_model *model, const quire_session_options *options, quire_session **session);
/* Gives its pages back. Null is allowed. On error: busy (in a step). */
QUIRE_API quire_status quire_session_free(quire_session *session);
QUIRE_API const char *quire_session_last_error(const quire_session *session);
/* As a new session, bit for bit. On error: busy. */
QUIRE_API quire_status quire_session_reset(quire_session *session);
/* Forgets every token from index `length` on. Where windowed layers have given back pages that the shorter timeline needs (it was longer than a
 * window), the tokens that stay become pending, all of them, and the next steps compute them again to the same bits: quire_session_counts
 * tells. On error: invalid_argument (longer than now), busy; unchanged. */
QUIRE_API quire_status quire_session_truncate(quire_session *session, uint32_t length);

/* How a token came into the timeline; it decides which kernels compute it, and so every rounding of its keys and values. */
typedef enum quire_phase {
  QUIRE_PHASE_PROMPT = 0,          /* many at once */
  QUIRE_PHASE_GENERATED = 1,       /* sampled, or forced by the host: one at a time */
  QUIRE_PHASE_FORCE_32_BITS = 0x7fffffff
} quire_phase;

/* Adds tokens; they are computed by the next steps. On error: invalid_argument (an id outside the vocabulary), context_full, busy. */
QUIRE_API quire_status quire_session_append(quire_session *session, const uint32_t *tokens, size_t count, quire_phase phase);

typedef struct quire_session_counts {
  size_t struct_size;
  uint32_t tokens;                 /* in the timeline */
  uint32_t computed;               /* of these, with keys and values in pages */
  uint32_t pending;                /* tokens - computed */
  uint32_t context_left;           /* tokens that may still be appended */
  uint64_t page_bytes_per_token;   /* in the session's formats, over all layers, before windows */
} quire_session_counts;
QUIRE_API quire_status quire_session_get_counts(quire_session *session, quire_session_counts *counts);
/* The session's pages in a cache group of its model. On error: invalid_argument (index outside quire_model_group_count). */
QUIRE_API quire_status quire_session_get_group(quire_session *session, size_t index, quire_cache_group *group);
/* The ids of the timeline. */
QUIRE_API quire_status quire_session_get_tokens(quire_session *session, uint32_t *tokens, size_t capacity, size_t *count);

/* Keep the logits after each of the last `positions` appended tokens; 1 at first. Takes effect with the next append. On error: busy. */
QUIRE_API quire_status quire_session_request_logits(quire_session *session, uint32_t positions);
/* Reads them: *logits is float [*positions][vocabulary], valid until the next append, truncate, reset or step of this session.
 * On error: invalid_argument (nothing was computed since the last append), device_lost. */
QUIRE_API quire_status quire_session_get_logits(quire_session *session, const float **logits, uint32_t *positions);

typedef struct quire_sampling {
  size_t struct_size;
  float temperature;               /* 0: greedy, the lowest id among equals; filters are not looked at */
  uint32_t top_k;                  /* keep the k most likely; 0: all */
  float top_p;                     /* keep the most likely whose probabilities first reach top_p; 0 or 1: all */
  float min_p;                     /* keep those at least min_p times as likely as the most likely; 0: all */
  uint64_t seed;
} quire_sampling;

/* Chooses the next token from the logits after the newest one. Filters apply in the order top_k, top_p, min_p, temperature; each works on what the one before
 * it kept, renormalised. The random number is a pure function of (seed, index of the new token in the timeline), so a choice depends neither on other sessions
 * nor on how often sample was called. The token is not appended. It runs on the device, and only the token is read back. Probabilities are summed as integers,
 * so that the same logits give the same token on every device; a token 2^40 times less likely than the most likely is never drawn. Null: greedy.
 * On error: invalid_argument (a value out of range; tokens are pending; nothing computed), non_finite, device_lost. */
QUIRE_API quire_status quire_session_sample(quire_session *session, const quire_sampling *sampling, uint32_t *token);

/* Makes the running or next quire_session_run or quire_sessions_run of this session answer QUIRE_CANCELLED between two steps.
 * Any thread, any time, signal handlers too. Null is allowed. */
QUIRE_API void quire_session_cancel(quire_session *session);

/* ---- Steps: bringing sessions up to date ------------------------------------------------------------------------------------------------- */

/* Returns 0 to stop. */
typedef int (*quire_keep_going_function)(void *user);

/* Computes all pending tokens of the session, step by step, and waits. keep_going, if given, is asked before every step.
 * On error: out_of_pages, out_of_device_memory, device_lost, cancelled, timeout (one step took more than ten minutes); the session holds what
 * finished steps computed and the rest stays pending, so that the call can be repeated. */
QUIRE_API quire_status quire_session_run(quire_session *session, quire_keep_going_function keep_going, void *user);
/* The same for several sessions of one model, computed together. Messages are written to every session given. */
QUIRE_API quire_status quire_sessions_run(quire_session *const *sessions, size_t count, quire_keep_going_function keep_going, void *user);

/* The same, resumable: begin, poll and finish with a timeout of 0 return at once, so that a host draws frames in between. A step takes the next run of
 * pending tokens (of one phase, at most a chunk) of each session; sessions without pending tokens are left out. On error: invalid_argument (nothing pending,
 * a session twice, different models), out_of_pages, out_of_device_memory, busy, device_lost; the message is written to every session given. */
QUIRE_API quire_status quire_step_begin(quire_session *const *sessions, size_t count, quire_step **step);
QUIRE_API const char *quire_step_last_error(const quire_step *step);
/* *done becomes 1 when finish will not wait. On error: device_lost. */
QUIRE_API quire_status quire_step_poll(quire_step *step, int *done);
/* Waits at most timeout_ns; then the sessions hold the new tokens. On error: timeout (call again), device_lost (the sessions are as before). */
QUIRE_API quire_status quire_step_finish(quire_step *step, uint64_t timeout_ns);
/* Drops the step's effects: the sessions are as before begin. No effect after finish. */
QUIRE_API quire_status quire_step_cancel(quire_step *step);
/* Cancels if not finished. Null is allowed. */
QUIRE_API void quire_step_free(quire_step *step);

#ifdef __cplusplus
}
#endif
#endif
