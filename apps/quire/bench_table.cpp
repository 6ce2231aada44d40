// A bench report as text for people.
#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "bench_report.hpp"

namespace quire_app {
namespace {

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void add_line(std::string& text, const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  text += line;
  text += '\n';
}

double number(const Json& object, const char* key) { return object[key].get<double>(); }
std::string word(const Json& object, const char* key) { return object[key].get<std::string>(); }

std::string formats(const Json& result) {
  const std::string k = word(result, "kv_k"), v = word(result, "kv_v");
  return k == v ? k : k + "/" + v;
}

void add_head(std::string& text, const Json& report) {
  add_line(text, "%s, %s, quire %s (%s)", word(report, "model").c_str(), word(report, "date").c_str(), word(report, "quire").c_str(), word(report, "build").c_str());
  add_line(text, "%s, %s", word(report, "device").c_str(), word(report, "driver").c_str());
  add_line(text, "variants %s", word(report, "variants").c_str());
  if (report.contains("kernel_variants")) add_line(text, "kernels' times are of other variants, tuned between: %s", word(report, "kernel_variants").c_str());
  const auto bound = report["bound_driver_threads"].get<uint32_t>();
  if (bound > 0) add_line(text, "each of the driver's %u threads on a processor of its own", bound);
  if (report.contains("kernel_bound_driver_threads"))
    add_line(text, "kernels' times are of %u such threads", report["kernel_bound_driver_threads"].get<uint32_t>());
  if (const auto workers = report["persistent_workers"].get<uint32_t>(); workers > 0) add_line(text, "persistent steps by %u workgroups", workers);
}

void add_kernels(std::string& text, const Json& result) {
  add_line(text, "\n%s of %u tokens at depth %u, %u at once, %s pages: one run with timestamps took %.1f ms, kernels %.1f ms of it", word(result, "phase").c_str(),
           result["tokens"].get<uint32_t>(), result["depth"].get<uint32_t>(), result["sequences"].get<uint32_t>(), formats(result).c_str(),
           number(result, "timed_wall_us") / 1000, number(result, "gpu_us") / 1000);
  add_line(text, "  %-18s %-6s %10s %12s %10s %7s %10s %8s %8s %8s", "kernel", "weight", "dispatches", "us", "us each", "share", "MB moved", "GB/s", "of copy",
           "GMAC/s");
  const double gpu_us = std::max(number(result, "gpu_us"), 1e-9);
  for (const Json& row : result["kernels"]) {
    const double us = number(row, "us");
    add_line(text, "  %-18s %-6s %10llu %12.1f %10.2f %6.1f%% %10.2f %8.2f %7.0f%% %8.2f", word(row, "kernel").c_str(), word(row, "weight").c_str(),
             static_cast<unsigned long long>(row["dispatches"].get<uint64_t>()), us, us / number(row, "dispatches"), 100 * us / gpu_us,
             number(row, "moved_bytes") / 1e6, number(row, "gb_s"), 100 * number(row, "copy_share"), number(row, "gmac_s"));
  }
}

}  // namespace

std::string readable(const Json& report) {
  std::string text;
  add_head(text, report);
  if (report.contains("copy_gb_s"))
    add_line(text, "copies between device buffers: %.2f GB/s, bytes read and bytes written together", number(report, "copy_gb_s"));
  add_line(text, "median of %u runs after a warm-up%s; spread: slowest less fastest run, of the median; outside: wall time less kernel times, with timestamps on",
           report["repeats"].get<uint32_t>(), report["in_turn"].get<bool>() ? ", of all cases in turn" : "");
  add_line(text, "\n%-8s %7s %7s %5s %-8s %10s %7s %10s %10s %9s %10s", "phase", "tokens", "depth", "seqs", "kv", "tok/s", "spread", "wall ms", "kernels", "outside",
           "own CPU");
  for (const Json& result : report["results"]) {
    char kernels[32] = "-", outside[32] = "-";
    if (result.contains("gpu_us")) {
      std::snprintf(kernels, sizeof kernels, "%.1f", number(result, "gpu_us") / 1000);
      std::snprintf(outside, sizeof outside, "%.1f%%", 100 * number(result, "outside_us") / number(result, "timed_wall_us"));
    }
    add_line(text, "%-8s %7u %7u %5u %-8s %10.2f %6.1f%% %10.1f %10s %9s %9.1f%%", word(result, "phase").c_str(), result["tokens"].get<uint32_t>(),
             result["depth"].get<uint32_t>(), result["sequences"].get<uint32_t>(), formats(result).c_str(), number(result, "median_tok_s"),
             100 * number(result, "spread"), number(result, "wall_us") / 1000, kernels, outside, 100 * number(result, "host_cpu_us") / number(result, "wall_us"));
  }
  for (const Json& left_out : report["left_out"])
    add_line(text, "left out, longer than the context of %u: %s", report["context_length"].get<uint32_t>(), left_out.get<std::string>().c_str());
  for (const Json& result : report["results"])
    if (result.contains("kernels")) add_kernels(text, result);
  return text;
}

std::string readable_compare(const Json& report) {
  std::string text = "\n";
  const Json& compare = report["compare"];
  add_line(text, "compared with %s of %s", word(compare, "file").c_str(), word(compare, "date").c_str());
  for (const Json& difference : compare["differences"]) add_line(text, "  %s", difference.get<std::string>().c_str());
  if (const auto count = compare["only_earlier"].get<uint64_t>(); count > 0)
    add_line(text, "  %llu of its cases were not measured now", static_cast<unsigned long long>(count));
  add_line(text, "%-8s %7s %7s %5s %-8s %10s %10s %7s", "phase", "tokens", "depth", "seqs", "kv", "earlier", "now", "ratio");
  for (const Json& row : compare["results"])
    add_line(text, "%-8s %7u %7u %5u %-8s %10.2f %10.2f %7.3f", word(row, "phase").c_str(), row["tokens"].get<uint32_t>(), row["depth"].get<uint32_t>(),
             row["sequences"].get<uint32_t>(), formats(row).c_str(), number(row, "earlier_tok_s"), number(row, "median_tok_s"), number(row, "ratio"));
  return text;
}

std::string readable_no_cache(const Json& report) {
  std::string text;
  add_head(text, report);
  const Json& result = report["no_cache"];
  add_line(text, "prompt of %u tokens, greedy; without the cache each token is computed from its whole prefix as a prompt, the tokens before it being those of",
           result["prompt"].get<uint32_t>());
  add_line(text, "the run with the cache");
  add_line(text, "\n%9s %12s %12s %14s %8s %12s", "generated", "with, s", "without, s", "measured at", "ratio", "tokens equal");
  for (const Json& row : result["lengths"])
    add_line(text, "%9u %12.3f %12.3f %6u of %-4u %8.1f %5u of %-4u", row["generated"].get<uint32_t>(), number(row, "with_s"), number(row, "without_s"),
             row["measured"].get<uint32_t>(), row["generated"].get<uint32_t>(), number(row, "ratio"), row["equal"].get<uint32_t>(), row["checked"].get<uint32_t>());
  if (result["interpolated"].get<bool>())
    add_line(text, "time without the cache at positions that were not measured is interpolated between their neighbours; --positions 0 measures all");
  add_line(text, "checked: positions measured whose two best logits are at least %.2f apart; %u more were closer, and %u of these are equal",
           number(result, "margin"), result["near_ties"].get<uint32_t>(), result["near_ties_equal"].get<uint32_t>());
  return text;
}

}  // namespace quire_app
