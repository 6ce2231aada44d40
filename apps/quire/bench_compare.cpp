// Ratios of a report to an earlier one.
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "bench_report.hpp"

namespace quire_app {
namespace {

constexpr const char* kCaseKeys[] = {"phase", "tokens", "depth", "sequences", "kv_k", "kv_v"};
constexpr const char* kRunKeys[] = {"model", "device", "driver", "variants", "bound_driver_threads", "persistent_workers", "chunk", "build"};

bool same_case(const Json& a, const Json& b) {
  for (const char* key : kCaseKeys)
    if (!b.contains(key) || a[key] != b[key]) return false;
  return true;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : json_text(value); }

/// What a report must have to be compared with.
bool is_report(const Json& report) {
  if (!report.is_object() || !report.contains("results") || !report["results"].is_array()) return false;
  for (const Json& result : report["results"])
    if (!result.is_object() || !result.contains("median_tok_s") || !result["median_tok_s"].is_number() || result["median_tok_s"].get<double>() <= 0) return false;
  return true;
}

}  // namespace

Outcome compare_reports(const std::string& file, Json& report) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return failure(kExitRuntime, "cannot read '" + file + "' to compare with");
  const Json earlier = parse_json(stream);
  if (!is_report(earlier)) return failure(kExitRuntime, "'" + file + "' is not a report of quire bench --json");
  Json rows = Json::array(), differences = Json::array();
  for (const Json& result : report["results"])
    for (const Json& before : earlier["results"]) {
      if (!same_case(result, before)) continue;
      Json& row = rows.emplace_back(Json::object());
      for (const char* key : kCaseKeys) row[key] = result[key];
      row["earlier_tok_s"] = before["median_tok_s"];
      row["median_tok_s"] = result["median_tok_s"];
      row["ratio"] = result["median_tok_s"].get<double>() / before["median_tok_s"].get<double>();
      break;
    }
  const size_t only_earlier = earlier["results"].size() - std::min(rows.size(), earlier["results"].size());
  if (rows.empty()) return failure(kExitRuntime, "'" + file + "' has no case of this run: nothing can be compared");
  for (const char* key : kRunKeys) {
    const Json before = earlier.contains(key) ? earlier[key] : Json("unknown");
    if (report[key] != before) differences.push_back(std::string(key) + " was " + text_of(before) + ", is " + text_of(report[key]));
  }
  report["compare"] = {{"file", file}, {"date", earlier.contains("date") ? text_of(earlier["date"]) : "an unknown date"}, {"differences", differences},
                       {"only_earlier", only_earlier}, {"results", rows}};
  return {};
}

Outcome check_losses(const Json& report, double max_loss) {
  const Json* worst = nullptr;
  size_t lost = 0;
  for (const Json& row : report["compare"]["results"]) {
    if (row["ratio"].get<double>() >= 1 - max_loss) continue;
    ++lost;
    if (worst == nullptr || row["ratio"].get<double>() < (*worst)["ratio"].get<double>()) worst = &row;
  }
  if (worst == nullptr) return {};
  char line[256];
  std::snprintf(line, sizeof line, "%zu of %zu cases lost more than %.1f %%; most: %s of %u tokens at depth %u, %u at once, at %.3f of the earlier run", lost,
                report["compare"]["results"].size(), 100 * max_loss, (*worst)["phase"].get<std::string>().c_str(), (*worst)["tokens"].get<uint32_t>(),
                (*worst)["depth"].get<uint32_t>(), (*worst)["sequences"].get<uint32_t>(), (*worst)["ratio"].get<double>());
  return failure(kExitSlower, line);
}

}  // namespace quire_app
