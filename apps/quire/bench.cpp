// quire bench: speed of prefill and decode, and where the device's time goes.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "generation.hpp"
#include "host.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

struct BenchFlags {
  ModelFlags model;
  uint32_t prompt = 64;
  uint32_t generated = 32;
  uint32_t depth = 0;
  uint32_t repeats = 5;
  bool no_kernels = false;
  bool json = false;
};

/// One engine with a model and a session on it.
struct Bench {
  quire_cpp::Engine engine;
  quire_cpp::Model model;
  quire_cpp::Session session;
  std::vector<uint32_t> ids;       ///< pseudo-random prompt tokens, the same in every run

  Outcome open(const BenchFlags& flags, KernelTimes times) {
    QUIRE_APP_TRY(open_engine(flags.model, times, engine));
    QUIRE_APP_TRY(open_model(flags.model, engine, model));
    QUIRE_APP_TRY(open_session(flags.model, model, session));
    quire_model_info info = quire_cpp::sized<quire_model_info>();
    static_cast<void>(quire_model_get_info(model.get(), &info));
    uint32_t state = 1;
    for (uint32_t i = 0; i < std::max(flags.depth, 1u) + flags.prompt; ++i) {
      state = state * 1664525u + 1013904223u;
      ids.push_back(static_cast<uint32_t>((uint64_t{state} * info.vocabulary) >> 32));
    }
    return {};
  }

  Outcome check(quire_status status) const {
    return status == QUIRE_OK ? Outcome{} : failure(status, Doing::generation, quire_session_last_error(session.get()));
  }
  Outcome compute(const uint32_t* tokens, size_t count, quire_phase phase) const {
    QUIRE_APP_TRY(check(quire_session_append(session.get(), tokens, count, phase)));
    return check(quire_session_run(session.get(), keep_going_unless_interrupted, nullptr));
  }
  /// The session holds the first `depth` tokens and nothing else.
  Outcome go_to_depth(uint32_t depth) const {
    quire_session_counts counts = quire_cpp::sized<quire_session_counts>();
    QUIRE_APP_TRY(check(quire_session_get_counts(session.get(), &counts)));
    if (counts.tokens > depth) QUIRE_APP_TRY(check(quire_session_truncate(session.get(), depth)));
    return counts.tokens < depth ? compute(ids.data() + counts.tokens, depth - counts.tokens, QUIRE_PHASE_PROMPT) : Outcome{};
  }
  Outcome prefill(const BenchFlags& flags, double& seconds) const {
    QUIRE_APP_TRY(go_to_depth(flags.depth));
    const Clock::time_point start = Clock::now();
    QUIRE_APP_TRY(compute(ids.data() + flags.depth, flags.prompt, QUIRE_PHASE_PROMPT));
    uint32_t token = 0;
    QUIRE_APP_TRY(check(quire_session_sample(session.get(), nullptr, &token)));
    seconds = seconds_since(start);
    return {};
  }
  Outcome decode(const BenchFlags& flags, double& seconds) const {
    QUIRE_APP_TRY(go_to_depth(flags.depth));
    uint32_t token = ids[0];
    const Clock::time_point start = Clock::now();
    for (uint32_t i = 0; i < flags.generated; ++i) {
      QUIRE_APP_TRY(compute(&token, 1, QUIRE_PHASE_GENERATED));
      QUIRE_APP_TRY(check(quire_session_sample(session.get(), nullptr, &token)));
    }
    seconds = seconds_since(start);
    return {};
  }
};

Json speed(uint32_t tokens, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const size_t middle = seconds.size() / 2;
  const double median = seconds.size() % 2 != 0 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
  const double count = tokens;
  return {{"tokens", tokens},
          {"median_tok_s", count / median},
          {"slowest_tok_s", count / seconds.back()},
          {"fastest_tok_s", count / seconds.front()},
          {"median_s", median}};
}

void add_kernel_row(void* user, const quire_kernel_time* row) {
  const double ns = static_cast<double>(row->gpu_ns);
  const auto per_ns = [ns](uint64_t amount) { return ns > 0 ? static_cast<double>(amount) / ns : 0.0; };
  Json& rows = *static_cast<Json*>(user);
  rows.push_back({{"kernel", row->kernel},
                  {"weight", row->weight_type},
                  {"dispatches", row->dispatches},
                  {"us", ns / 1000},
                  {"moved_bytes", row->moved_bytes},
                  {"gb_s", per_ns(row->moved_bytes)},
                  {"gmac_s", per_ns(row->multiply_adds)}});
}

using Part = Outcome (Bench::*)(const BenchFlags&, double&) const;

/// Times of `part`, after one run that compiles pipelines and touches memory.
Outcome measure(const Bench& bench, const BenchFlags& flags, Part part, uint32_t tokens, Json& result) {
  std::vector<double> seconds(flags.repeats);
  double warm_up = 0;
  QUIRE_APP_TRY((bench.*part)(flags, warm_up));
  for (double& s : seconds) QUIRE_APP_TRY((bench.*part)(flags, s));
  result = speed(tokens, seconds);
  return {};
}

Outcome kernel_times(const Bench& bench, const BenchFlags& flags, Part part, Json& rows) {
  double ignored = 0;
  Json warm_up;
  QUIRE_APP_TRY((bench.*part)(flags, ignored));
  QUIRE_APP_TRY(bench.go_to_depth(flags.depth));
  quire_status status = quire_engine_take_kernel_times(bench.engine.get(), add_kernel_row, &warm_up);
  if (status == QUIRE_OK) {
    QUIRE_APP_TRY((bench.*part)(flags, ignored));
    rows = Json::array();
    status = quire_engine_take_kernel_times(bench.engine.get(), add_kernel_row, &rows);
  }
  return status == QUIRE_OK ? Outcome{} : failure(status, Doing::device, quire_engine_last_error(bench.engine.get()));
}

Outcome describe(const Bench& bench, const BenchFlags& flags, Json& report) {
  quire_device_info device = quire_cpp::sized<quire_device_info>();
  quire_model_info model = quire_cpp::sized<quire_model_info>();
  static_cast<void>(quire_engine_device(bench.engine.get(), &device));
  static_cast<void>(quire_model_get_info(bench.model.get(), &model));
  report = {{"quire", quire_version()}, {"model", flags.model.model()}, {"model_name", model.name},   {"device", device.name},
            {"driver", device.driver},  {"variants", device.variants},  {"chunk", model.chunk},       {"depth", flags.depth},
            {"repeats", flags.repeats}};
  return {};
}

std::string readable(const Json& report) {
  char line[256];
  std::string text = report["device"].get<std::string>() + ", " + report["driver"].get<std::string>() + "\n";
  for (const char* part : {"prefill", "decode"}) {
    if (!report.contains(part)) continue;
    const Json& speed = report[part];
    std::snprintf(line, sizeof line, "%-8s %5u tokens at depth %u: %9.2f tok/s (median of %u; %.2f to %.2f)\n", part, speed["tokens"].get<uint32_t>(),
                  report["depth"].get<uint32_t>(), speed["median_tok_s"].get<double>(), report["repeats"].get<uint32_t>(),
                  speed["slowest_tok_s"].get<double>(), speed["fastest_tok_s"].get<double>());
    text += line;
    if (!speed.contains("kernels")) continue;
    std::snprintf(line, sizeof line, "  %-18s %-6s %10s %12s %10s %8s %8s\n", "kernel", "weight", "dispatches", "us", "us each", "GB/s", "GMAC/s");
    text += line;
    for (const Json& row : speed["kernels"]) {
      const double us = row["us"].get<double>();
      std::snprintf(line, sizeof line, "  %-18s %-6s %10u %12.1f %10.2f %8.2f %8.2f\n", row["kernel"].get<std::string>().c_str(),
                    row["weight"].get<std::string>().c_str(), row["dispatches"].get<uint32_t>(), us, us / row["dispatches"].get<double>(),
                    row["gb_s"].get<double>(), row["gmac_s"].get<double>());
      text += line;
    }
  }
  return text;
}

Outcome bench_verb(const BenchFlags& flags) {
  if (flags.prompt == 0 && flags.generated == 0) return failure(kExitUsage, "-p and -n are both 0: there is nothing to measure");
  Json report;
  {
    Bench bench;
    QUIRE_APP_TRY(bench.open(flags, KernelTimes::off));
    QUIRE_APP_TRY(describe(bench, flags, report));
    if (flags.prompt != 0) {
      QUIRE_APP_TRY(measure(bench, flags, &Bench::prefill, flags.prompt, report["prefill"]));
      report["prefill_tok_s"] = report["prefill"]["median_tok_s"];
    }
    if (flags.generated != 0) {
      QUIRE_APP_TRY(measure(bench, flags, &Bench::decode, flags.generated, report["decode"]));
      report["decode_tok_s"] = report["decode"]["median_tok_s"];
    }
  }
  // Kernels are measured apart, because timestamps cost time of their own.
  if (!flags.no_kernels) {
    Bench bench;
    QUIRE_APP_TRY(bench.open(flags, KernelTimes::on));
    if (flags.prompt != 0) QUIRE_APP_TRY(kernel_times(bench, flags, &Bench::prefill, report["prefill"]["kernels"]));
    if (flags.generated != 0) QUIRE_APP_TRY(kernel_times(bench, flags, &Bench::decode, report["decode"]["kernels"]));
  }
  return flags.json ? print_json(report) : write_out(readable(report));
}

}  // namespace

void add_bench(CLI::App& app, Outcome& outcome) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* verb = app.add_subcommand("bench", "measure prefill and decode, and each kernel");
  add_model(*verb, flags->model);
  verb->add_option("-p,--n-prompt", flags->prompt, "prompt tokens of the prefill measurement; 0: none")->check(CLI::Range(0, 1 << 24))->capture_default_str();
  verb->add_option("-n,--n-gen", flags->generated, "tokens of the decode measurement; 0: none")->check(CLI::Range(0, 1 << 24))->capture_default_str();
  verb->add_option("-d,--n-depth", flags->depth, "tokens in the cache before either")->check(CLI::Range(0, 1 << 24))->capture_default_str();
  verb->add_option("-r,--repetitions", flags->repeats, "repeats after a warm-up; the median counts")->check(CLI::Range(1, 1000))->capture_default_str();
  verb->add_flag("--no-kernels", flags->no_kernels, "leave the table of kernels out");
  add_device(*verb, flags->model);
  add_cache(*verb, flags->model);
  add_json(*verb, flags->json);
  verb->footer("\nExample:\n  quire bench smollm2 -p 64 -n 32 -d 0 --json");
  verb->callback([flags, &outcome] { outcome = bench_verb(*flags); });
}

}  // namespace quire_app
