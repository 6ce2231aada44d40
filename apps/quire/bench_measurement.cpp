// Wall times, the calling thread's share and kernel times of every case.
#include <algorithm>
#include <ctime>

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

/// After one run that compiles pipelines and touches memory.
Outcome wall_times(BenchRig& rig, const BenchCase& one, uint32_t repeats, Json& result) {
  RunTime time;
  QUIRE_APP_TRY(rig.prepare(one));
  QUIRE_APP_TRY(rig.run(time));
  std::vector<double> wall, host_cpu;
  for (uint32_t i = 0; i < repeats; ++i) {
    QUIRE_APP_TRY(rig.run(time));
    wall.push_back(time.wall_s);
    host_cpu.push_back(time.host_cpu_s);
  }
  const double count = static_cast<double>(one.tokens) * one.sequences;
  const auto [fastest, slowest] = std::minmax_element(wall.begin(), wall.end());
  result["median_tok_s"] = count / median(wall);
  result["slowest_tok_s"] = count / *slowest;
  result["fastest_tok_s"] = count / *fastest;
  result["spread"] = (*slowest - *fastest) / median(wall);
  result["wall_us"] = 1e6 * median(wall);
  result["host_cpu_us"] = 1e6 * median(host_cpu);
  result["samples_s"] = wall;
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

Outcome kernel_times(BenchRig& rig, const BenchCase& one, double copy_gb_s, Json& result) {
  RunTime time;
  Json rows = Json::array();
  QUIRE_APP_TRY(rig.prepare(one));
  QUIRE_APP_TRY(rig.run(time));
  QUIRE_APP_TRY(rig.go_to_depth(one.depth));
  quire_status status = quire_engine_take_kernel_times(rig.engine().get(), add_kernel_row, &rows);
  if (status == QUIRE_OK) {
    QUIRE_APP_TRY(rig.run(time));
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
  {
    BenchRig rig;
    QUIRE_APP_TRY(rig.open(flags.model, KernelTimes::off));
    QUIRE_APP_TRY(bench_cases(flags, rig.info().context_length, cases, left_out));
    report = describe_run(rig, flags.model);
    report["repeats"] = flags.repeats;
    report["left_out"] = left_out;
    report["results"] = Json::array();
    for (const BenchCase& one : cases) {
      Json& result = report["results"].emplace_back(describe(one));
      QUIRE_APP_TRY(wall_times(rig, one, flags.repeats, result));
      bar.update(++done, parts * cases.size());
    }
  }
  // Kernels are measured apart, because timestamps cost time of their own.
  if (!flags.no_kernels) {
    BenchRig rig;
    QUIRE_APP_TRY(rig.open(flags.model, KernelTimes::on));
    double copy_bytes_s = 0;
    if (const quire_status status = quire_engine_measure_copy(rig.engine().get(), 0, &copy_bytes_s); status != QUIRE_OK)
      return failure(status, Doing::device, quire_engine_last_error(rig.engine().get()));
    report["copy_gb_s"] = copy_bytes_s / 1e9;
    for (size_t i = 0; i < cases.size(); ++i) {
      QUIRE_APP_TRY(kernel_times(rig, cases[i], copy_bytes_s / 1e9, report["results"][i]));
      bar.update(++done, parts * cases.size());
    }
  }
  add_simple_keys(report);
  return {};
}

}  // namespace quire_app
