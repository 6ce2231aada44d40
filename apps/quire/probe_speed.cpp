// quire probe-speed, not listed in the help: times kernels on a device with a made-up model, for the program's own choices.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <span>

#include "generation.hpp"
#include "host.hpp"
#include "probe_model.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

constexpr uint32_t kPromptTokens = 64, kGeneratedTokens = 8, kMostRepeats = 12;
constexpr double kLimitS = 0.4;

int read_memory(void* user, uint64_t offset_bytes, void* buffer, size_t size_bytes) {
  const auto& bytes = *static_cast<const std::vector<std::byte>*>(user);
  std::memcpy(buffer, bytes.data() + offset_bytes, size_bytes);
  return 0;
}

struct Timing {
  double prefill_s = std::numeric_limits<double>::max();
  double decode_s = std::numeric_limits<double>::max();
};

/// One prompt and a few tokens after it.
quire_status time_once(const quire_cpp::Session& session, const std::vector<uint32_t>& ids, Timing& best) {
  const auto compute = [&](std::span<const uint32_t> tokens, quire_phase phase) {
    const quire_status status = quire_session_append(session.get(), tokens.data(), tokens.size(), phase);
    return status == QUIRE_OK ? quire_session_run(session.get(), keep_going_unless_interrupted, nullptr) : status;
  };
  quire_status status = quire_session_reset(session.get());
  Clock::time_point start = Clock::now();
  if (status == QUIRE_OK) status = compute(ids, QUIRE_PHASE_PROMPT);
  const double prefill_s = seconds_since(start);
  start = Clock::now();
  for (uint32_t i = 0; i < kGeneratedTokens && status == QUIRE_OK; ++i) status = compute({&ids[i], 1}, QUIRE_PHASE_GENERATED);
  best.prefill_s = std::min(best.prefill_s, prefill_s);
  best.decode_s = std::min(best.decode_s, seconds_since(start));
  return status;
}

Outcome time_kernels(const quire_cpp::Engine& engine, Timing& best) {
  std::vector<std::byte> bytes = make_probe_model();
  quire_source source = quire_cpp::sized<quire_source>();
  source.read_at = read_memory;
  source.size_bytes = bytes.size();
  source.user = &bytes;
  quire_cpp::Model model;
  quire_cpp::Session session;
  quire_status status = quire_model_open(engine.get(), &source, nullptr, model.out());
  if (status != QUIRE_OK) return failure(status, Doing::model, quire_engine_last_error(engine.get()));
  status = quire_session_create(model.get(), nullptr, session.out());
  if (status != QUIRE_OK) return failure(status, Doing::generation, quire_model_last_error(model.get()));
  std::vector<uint32_t> ids(kPromptTokens);
  for (uint32_t i = 0; i < kPromptTokens; ++i) ids[i] = (i * 37 + 11) % 256;
  Timing warm_up;
  status = time_once(session, ids, warm_up);
  const Clock::time_point start = Clock::now();
  for (uint32_t repeat = 0; repeat < kMostRepeats && status == QUIRE_OK && (repeat == 0 || seconds_since(start) < kLimitS); ++repeat) status = time_once(session, ids, best);
  return status == QUIRE_OK ? Outcome{} : failure(status, Doing::generation, quire_session_last_error(session.get()));
}

Outcome probe_speed(ModelFlags flags) {
  flags.keep_vector_width = true;  // it is the child of that choice; the kernels are tuned, as they will be where the width is used
  quire_cpp::Engine engine;
  QUIRE_APP_TRY(open_engine(flags, KernelTimes::off, engine));
  quire_device_info info = quire_cpp::sized<quire_device_info>();
  if (const quire_status status = quire_engine_device(engine.get(), &info); status != QUIRE_OK) return failure(status, Doing::device, quire_engine_last_error(engine.get()));
  Timing best = {0, 0};
  const bool cpu = info.type == QUIRE_DEVICE_CPU;
  if (cpu) {
    best = {};
    QUIRE_APP_TRY(time_kernels(engine, best));
  }
  return print_json({{"device", info.name}, {"driver", info.driver}, {"type", cpu ? "cpu" : "other"}, {"subgroup_size", info.subgroup_size}, {"prefill_s", best.prefill_s},
                     {"decode_s", best.decode_s}});
}

}  // namespace

void add_probe_speed(CommandLine& line) {
  auto flags = std::make_shared<ModelFlags>();
  const Verb verb = line.add_verb("probe-speed", "time kernels with a made-up model, in JSON");
  verb.hide();
  add_device(verb, *flags);
  verb.on_chosen([flags] { return probe_speed(*flags); });
}

}  // namespace quire_app
