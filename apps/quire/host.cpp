#include "host.hpp"

#include <cstdio>

#include "driver_threads.hpp"
#include "model_names.hpp"
#include "terminal.hpp"
#include "vector_width.hpp"

namespace quire_app {
namespace {

void log_line(void*, quire_log_level, const char* message) { say(message); }

struct Tuning {
  ProgressBar bar{"measuring kernels on this device, once"};
  const DriverThreads& driver_threads;
  bool begun = false;
};

/// Kernels are measured as they will run: by threads in their places.
int show_tuning(void* user, uint64_t done, uint64_t total) {
  auto& tuning = *static_cast<Tuning*>(user);
  if (!tuning.begun) tuning.driver_threads.spread();
  tuning.begun = true;
  tuning.bar.update(done, total);
  return interrupted() ? 0 : 1;
}

int show_progress(void* user, uint64_t done, uint64_t total) {
  static_cast<ProgressBar*>(user)->update(done, total);
  return interrupted() ? 0 : 1;
}

}  // namespace

void say(const std::string& message) { std::fprintf(stderr, "quire: %s\n", message.c_str()); }

int keep_going_unless_interrupted(void*) { return interrupted() ? 0 : 1; }

void choose_backend(const std::string& device, quire_engine_options& options) {
  options.backend = QUIRE_BACKEND_VULKAN;
  options.device = "";
  if (device == "reference")
    options.backend = QUIRE_BACKEND_REFERENCE;
  else if (device == "null")
    options.backend = QUIRE_BACKEND_NULL;
  else if (device == "cuda")
    options.backend = QUIRE_BACKEND_CUDA;
  else if (device != "vulkan")
    options.device = device.c_str();
}

Outcome open_engine(const ModelFlags& flags, KernelTimes times, quire_cpp::Engine& engine, uint32_t* bound_workers) {
  quire_engine_options options = quire_cpp::sized<quire_engine_options>();
  choose_backend(flags.device, options);
  const std::string pipelines = pipeline_cache_folder();
  if (!pipelines.empty()) options.pipeline_cache_folder = pipelines.c_str();
  options.validation = flags.validation ? 1 : 0;
  options.timestamps = times == KernelTimes::on ? 1 : 0;
  options.cache_budget_bytes = flags.cache_budget_mib << 20;
  options.log = log_line;
  const VectorWidth width = choose_vector_width(flags);
  const DriverThreads driver_threads;
  Tuning tuning{.driver_threads = driver_threads};
  options.tuning = flags.no_tune ? 0 : 1;
  options.tuning_progress = show_tuning;
  options.tuning_progress_user = &tuning;
  quire_error error = quire_cpp::sized<quire_error>();
  const quire_status status = quire_engine_create(&options, engine.out(), &error);
  tuning.bar.clear();
  if (status != QUIRE_OK) return failure(status, Doing::device, error.message);
  quire_device_info info = quire_cpp::sized<quire_device_info>();
  if (quire_engine_device(engine.get(), &info) != QUIRE_OK) return {};
  confirm_vector_width(width, flags, info.driver);
  const uint32_t bound = info.type == QUIRE_DEVICE_CPU && !flags.no_tune ? driver_threads.spread() : 0;
  if (bound_workers != nullptr) *bound_workers = bound;
  return {};
}

Outcome open_model(const ModelFlags& flags, const quire_cpp::Engine& engine, quire_cpp::Model& model) {
  if (flags.model().empty()) return failure(kExitUsage, "no model is given: name a GGUF file, or a model of models.lock such as smollm2");
  quire_model_options options = quire_cpp::sized<quire_model_options>();
  QUIRE_APP_TRY(arithmetic_of(flags, options.arithmetic));
  std::string path;
  QUIRE_APP_TRY(find_model(flags.model(), path));
  quire_source source = quire_cpp::sized<quire_source>();
  source.path = path.c_str();
  ProgressBar bar("loading");
  options.context_length = flags.context_length;
  options.chunk = flags.chunk;
  options.progress = show_progress;
  options.progress_user = &bar;
  options.chat_template = flags.chat_template.c_str();
  options.persistent = flags.persistent ? QUIRE_PERSISTENT_IF_POSSIBLE : QUIRE_PERSISTENT_OFF;
  const quire_status status = quire_model_open(engine.get(), &source, &options, model.out());
  bar.clear();
  if (status != QUIRE_OK) return failure(status, Doing::model, quire_engine_last_error(engine.get()));
  if (flags.persistent) {
    quire_model_info info = quire_cpp::sized<quire_model_info>();
    if (quire_model_get_info(model.get(), &info) == QUIRE_OK && info.persistent_why_not[0] != '\0')
      say(std::string("--persistent is without effect: ") + info.persistent_why_not);
  }
  return {};
}

Outcome unknown_template(const quire_cpp::Model& model) {
  return failure(kExitModel, std::string(quire_model_last_error(model.get())) + "; --chat-template NAME chooses one");
}

Outcome open_session(const ModelFlags& flags, const quire_cpp::Model& model, quire_cpp::Session& session) {
  quire_session_options options = quire_cpp::sized<quire_session_options>();
  QUIRE_APP_TRY(page_formats(flags, options.k_format, options.v_format));
  const quire_status status = quire_session_create(model.get(), &options, session.out());
  return status == QUIRE_OK ? Outcome{} : failure(status, Doing::generation, quire_model_last_error(model.get()));
}

}  // namespace quire_app
