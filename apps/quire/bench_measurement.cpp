// Wall times, the calling thread's share and kernel times of every case.
#include <algorithm>
#include <ctime>
#include <functional>

#include "bench_report.hpp"
#include "terminal.hpp"

namespace quire_app {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  char text[32] = "";
  if (const std::tm* utc = std::gmtime(&now); utc != nullptr) std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", utc);
  return text;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Json describe(const BenchCase& one) {
  return {{"phase", phase_name(one.phase)}, {"tokens", one.tokens},      {"depth", one.depth},
          {"sequences", one.sequences},     {"kv_k", one.k_format()},    {"kv_v", one.v_format()}};
}

/// One run of each repeat.
struct Samples {
  std::vector<double> wall_s, host_cpu_s;
  Outcome add(BenchSessions& sessions) {
    RunTime time;
    QUIRE_APP_TRY(sessions.run(time));
    wall_s.push_back(time.wall_s);
    host_cpu_s.push_back(time.host_cpu_s);
    return {};
  }
};

Json summary(const BenchCase& one, const Samples& samples) {
  Json result = describe(one);
  const double count = static_cast<double>(one.tokens) * one.sequences, middle = median(samples.wall_s);
  const auto [fastest, slowest] = std::minmax_element(samples.wall_s.begin(), samples.wall_s.end());
  result["median_tok_s"] = count / middle;
  result["slowest_tok_s"] = count / *slowest;
  result["fastest_tok_s"] = count / *fastest;
  result["spread"] = (*slowest - *fastest) / middle;
  result["wall_us"] = 1e6 * middle;
  result["host_cpu_us"] = 1e6 * median(samples.host_cpu_s);
  result["samples_s"] = samples.wall_s;
  return result;
}

/// The repeats of each case follow one run that compiles pipelines and touches memory; with --in-turn, a repeat of every case comes before the next of any.
Outcome wall_times(const BenchFlags& flags, const BenchRig& rig, const std::vector<BenchCase>& cases, Json& results, const std::function<void()>& done) {
  std::vector<Samples> samples(cases.size());
  std::vector<BenchSessions> sessions(flags.in_turn ? cases.size() : 1);
  const auto sessions_of = [&](size_t i) -> BenchSessions& { return sessions[flags.in_turn ? i : 0]; };
  for (size_t i = 0; i < cases.size(); ++i) {
    RunTime warm_up;
    QUIRE_APP_TRY(sessions_of(i).prepare(rig, cases[i]));
    QUIRE_APP_TRY(sessions_of(i).run(warm_up));
    for (uint32_t repeat = 0; repeat < flags.repeats && !flags.in_turn; ++repeat) QUIRE_APP_TRY(samples[i].add(sessions_of(i)));
    done();
  }
  for (uint32_t repeat = 0; repeat < flags.repeats && flags.in_turn; ++repeat)
    for (size_t i = 0; i < cases.size(); ++i) QUIRE_APP_TRY(samples[i].add(sessions_of(i)));
  for (size_t i = 0; i < cases.size(); ++i) results.push_back(summary(cases[i], samples[i]));
  return {};
}

void add_kernel_row(void* user, const quire_kernel_time* row) {
  const double ns = static_cast<double>(row->gpu_ns);
  const auto per_ns = [ns](uint64_t amount) { return ns > 0 ? static_cast<double>(amount) / ns : 0.0; };
  static_cast<Json*>(user)->push_back({{"kernel", row->kernel},
                                       {"weight", row->weight_type},
                                       {"dispatches", row->dispatches},
                                       {"us", ns / 1000},
                                       {"moved_bytes", row->moved_bytes},
                                       {"multiply_adds", row->multiply_adds},
                                       {"gb_s", per_ns(row->moved_bytes)},
                                       {"gmac_s", per_ns(row->multiply_adds)}});
}

Outcome kernel_times(const BenchRig& rig, BenchSessions& sessions, const BenchCase& one, double copy_gb_s, Json& result) {
  RunTime time;
  Json rows = Json::array();
  QUIRE_APP_TRY(sessions.prepare(rig, one));
  QUIRE_APP_TRY(sessions.run(time));
  QUIRE_APP_TRY(sessions.go_to_depth(one.depth));
  quire_status status = quire_engine_take_kernel_times(rig.engine().get(), add_kernel_row, &rows);
  if (status == QUIRE_OK) {
    QUIRE_APP_TRY(sessions.run(time));
    rows = Json::array();
    status = quire_engine_take_kernel_times(rig.engine().get(), add_kernel_row, &rows);
  }
  if (status != QUIRE_OK) return failure(status, Doing::device, quire_engine_last_error(rig.engine().get()));
  double gpu_us = 0;
  for (Json& row : rows) {
    gpu_us += row["us"].get<double>();
    row["copy_share"] = copy_gb_s > 0 ? row["gb_s"].get<double>() / copy_gb_s : 0;
  }
  result["timed_wall_us"] = 1e6 * time.wall_s;
  result["gpu_us"] = gpu_us;
  result["outside_us"] = 1e6 * time.wall_s - gpu_us;
  result["kernels"] = std::move(rows);
  return {};
}

/// prefill_tok_s and decode_tok_s, where there is one case of the phase.
void add_simple_keys(Json& report) {
  for (const char* phase : {"prefill", "decode"}) {
    const Json* only = nullptr;
    size_t count = 0;
    for (const Json& result : report["results"])
      if (result["phase"] == phase) ++count, only = &result;
    if (count == 1) report[std::string(phase) + "_tok_s"] = (*only)["median_tok_s"];
  }
}

}  // namespace

Json describe_run(const BenchRig& rig, const ModelFlags& flags) {
  quire_device_info device = quire_cpp::sized<quire_device_info>();
  static_cast<void>(quire_engine_device(rig.engine().get(), &device));
  return {{"quire", quire_version()},
          {"build", QUIRE_BUILD_TYPE ", compiler " __VERSION__},
          {"date", utc_now()},
          {"model", flags.model()},
          {"model_name", rig.info().name},
          {"device", device.name},
          {"driver", device.driver},
          {"api_version", device.api_version},
          {"variants", rig.info().variants},
          {"bound_driver_threads", rig.bound_workers()},
          {"persistent_workers", rig.info().persistent_workers},
          {"chunk", rig.info().chunk},
          {"context_length", rig.info().context_length}};
}

Outcome measure_cases(const BenchFlags& flags, Json& report) {
  std::vector<BenchCase> cases;
  std::vector<std::string> left_out;
  ProgressBar bar("measuring");
  const uint64_t parts = flags.no_kernels ? 1 : 2;
  uint64_t done = 0;
  const auto step = [&] { bar.update(++done, parts * cases.size()); };
  {
    BenchRig rig;
    QUIRE_APP_TRY(rig.open(flags.model, KernelTimes::off));
    QUIRE_APP_TRY(bench_cases(flags, rig.info().context_length, cases, left_out));
    report = describe_run(rig, flags.model);
    report["repeats"] = flags.repeats;
    report["left_out"] = left_out;
    report["in_turn"] = flags.in_turn;
    report["results"] = Json::array();
    QUIRE_APP_TRY(wall_times(flags, rig, cases, report["results"], step));
  }
  // Kernels are measured apart, because timestamps cost time of their own.
  if (!flags.no_kernels) {
    BenchRig rig;
    QUIRE_APP_TRY(rig.open(flags.model, KernelTimes::on));
    double copy_bytes_s = 0;
    if (const quire_status status = quire_engine_measure_copy(rig.engine().get(), 0, &copy_bytes_s); status != QUIRE_OK)
      return failure(status, Doing::device, quire_engine_last_error(rig.engine().get()));
    report["copy_gb_s"] = copy_bytes_s / 1e9;
    // Where an earlier start had no time to tune everything, this one may have chosen more.
    if (report["variants"] != rig.info().variants) report["kernel_variants"] = rig.info().variants;
    if (report["bound_driver_threads"] != rig.bound_workers()) report["kernel_bound_driver_threads"] = rig.bound_workers();
    BenchSessions sessions;
    for (size_t i = 0; i < cases.size(); ++i) {
      QUIRE_APP_TRY(kernel_times(rig, sessions, cases[i], copy_bytes_s / 1e9, report["results"][i]));
      step();
    }
  }
  add_simple_keys(report);
  return {};
}

}  // namespace quire_app
