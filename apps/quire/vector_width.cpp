#include "vector_width.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <vector>

#include "child_process.hpp"
#include "generation.hpp"
#include "host.hpp"
#include "model_names.hpp"

namespace quire_app {
namespace fs = std::filesystem;
namespace {

constexpr const char* kVariable = "LP_NATIVE_VECTOR_WIDTH";
constexpr uint32_t kDefaultBits = 256, kWideBits = 512;
constexpr double kLeastGain = 1.05;      ///< below it a difference is noise
constexpr int kRounds = 2;
constexpr std::chrono::milliseconds kLimit{60000};  ///< of all children; compiling kernels for the first time takes most of it
constexpr int kFileVersion = 5;           ///< 1 to 4: measured other kernels, some of which did not bear every width, by threads that shared processors
constexpr size_t kMostEntries = 16;      ///< older ones are forgotten

/// What decides which driver the Vulkan loader finds; it can be read without loading one.
constexpr const char* kLoaderVariables[] = {"VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "VK_LOADER_DRIVERS_SELECT", "VK_LOADER_DRIVERS_DISABLE", "LD_LIBRARY_PATH"};

/// Where the loader finds drivers' manifests besides (Vulkan-Loader, LoaderDriverInterface.md).
constexpr const char* kManifestFolders[] = {"/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"};

std::string value_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

bool asks_for_vulkan(const std::string& device) { return device != "reference" && device != "null" && device != "cuda"; }

void add_manifest(const fs::path& path, Json& manifests) {
  std::error_code error;
  const auto written = fs::last_write_time(path, error);
  if (!error) manifests[path.string()] = written.time_since_epoch().count();
}

/// Every manifest with the time it was written: after an upgrade of a driver, which may not bear the width that the older one did, it is another.
Json driver_manifests() {
  Json manifests = Json::object();
  for (const char* variable : {"VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"}) {
    std::stringstream paths(value_of(variable));
    for (std::string path; std::getline(paths, path, ':');) add_manifest(path, manifests);
  }
  for (const char* folder : kManifestFolders) {
    std::error_code error;
    std::vector<fs::path> paths;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) paths.push_back(entry->path());
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths) add_manifest(path, manifests);
  }
  return manifests;
}

/// What an entry of the file is found by.
Json key_of(const std::string& device) {
  Json key = {{"device", device == "vulkan" ? "" : device}, {"processor", processor_name()}, {"manifests", driver_manifests()}};
  for (const char* variable : kLoaderVariables)
    if (const std::string value = value_of(variable); !value.empty()) key[variable] = value;
  return key;
}

std::string file_path() {
  const std::string folder = pipeline_cache_folder();
  return folder.empty() ? std::string() : (fs::path(folder) / "vector_width.json").string();
}

bool is_entry(const Json& entry) {
  if (!entry.is_object()) return false;
  for (const char* text : {"device", "driver", "reason"})
    if (!entry.contains(text) || !entry[text].is_string()) return false;
  if (!entry.contains("key") || !entry["key"].is_object() || !entry.contains("bits") || !entry["bits"].is_number_unsigned()) return false;
  const auto bits = entry["bits"].get<uint64_t>();
  return bits == 0 || bits == kWideBits;
}

/// The entries of the file; none if it is not there, damaged or of another version.
Json read_entries(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const Json content = file ? parse_json(file) : Json();
  Json entries = Json::array();
  if (!content.is_object() || content.value("version", Json()) != kFileVersion || !content.contains("entries") || !content["entries"].is_array()) return entries;
  for (const Json& entry : content["entries"])
    if (is_entry(entry)) entries.push_back(entry);
  return entries;
}

/// Replaces the file as a whole; a failure only costs another measurement.
void write_entries(const std::string& path, const Json& entries) {
  const std::string temporary = path + "." + std::to_string(std::random_device()());
  std::error_code error;
  {
    std::ofstream file(temporary, std::ios::binary);
    file << json_text({{"version", kFileVersion}, {"entries", entries}}, 1) << "\n";
    file.close();
    if (!file) {
      fs::remove(temporary, error);
      return;
    }
  }
  fs::rename(temporary, path, error);
  if (error) fs::remove(temporary, error);
}

Json without(const Json& entries, const Json& key) {
  Json kept = Json::array();
  for (const Json& entry : entries)
    if (entry["key"] != key) kept.push_back(entry);
  return kept;
}

struct Probe {
  std::string device, driver, type;
  uint64_t subgroup_size = 0;
  double prefill_s = 0, decode_s = 0;
};

enum class ProbeEnd { measured, failed, interrupted };

ProbeEnd probe(const std::string& device, uint32_t bits, Clock::time_point deadline, Probe& result, std::string& why) {
  ChildCall call;
  call.arguments = {"probe-speed"};
  if (!device.empty()) call.arguments.insert(call.arguments.end(), {"--device", device});
  if (bits != kDefaultBits) call.environment.emplace_back(kVariable, std::to_string(bits));
  call.time_limit = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  const ChildResult child = run_this_program(call);
  if (child.end == ChildEnd::interrupted) return ProbeEnd::interrupted;
  why = child.text;
  if (child.end == ChildEnd::failed) return ProbeEnd::failed;
  const Json report = parse_json(child.text);
  why = "the child process wrote no report";
  if (!report.is_object()) return ProbeEnd::failed;
  for (const char* text : {"device", "driver", "type"})
    if (!report.contains(text) || !report[text].is_string()) return ProbeEnd::failed;
  for (const char* number : {"subgroup_size", "prefill_s", "decode_s"})
    if (!report.contains(number) || !report[number].is_number()) return ProbeEnd::failed;
  result = {report["device"], report["driver"], report["type"], report["subgroup_size"].get<uint64_t>(), report["prefill_s"].get<double>(), report["decode_s"].get<double>()};
  return ProbeEnd::measured;
}

std::string in_ms(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", seconds * 1e3);
  return text;
}

/// Decides between two widths by their best times.
void decide(const Probe& narrow, const Probe& wide, VectorWidth& width) {
  const double prefill = narrow.prefill_s / wide.prefill_s, decode = narrow.decode_s / wide.decode_s;
  // Both phases count alike; a width that costs one of them a fifth is not taken for the other's sake.
  const bool faster = prefill * decode >= kLeastGain * kLeastGain && prefill > 0.8 && decode > 0.8;
  if (wide.subgroup_size > narrow.subgroup_size && faster) width.bits = kWideBits;
  width.reason = "64 prompt tokens " + in_ms(narrow.prefill_s) + " ms at 256 bits, " + in_ms(wide.prefill_s) + " at 512; 8 generated " + in_ms(narrow.decode_s) + " and " +
                 in_ms(wide.decode_s);
}

/// False after Ctrl-C.
bool measure(const std::string& device, VectorWidth& width) {
  const Clock::time_point deadline = Clock::now() + kLimit;
  Probe best[2];
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 2; ++i) {
      Probe now;
      std::string why;
      const ProbeEnd end = probe(device, i == 0 ? kDefaultBits : kWideBits, deadline, now, why);
      if (end == ProbeEnd::interrupted) return false;
      if (end == ProbeEnd::failed) {
        width.reason = "not measured: " + why;
        return true;
      }
      if (round == 0 && i == 0) {
        width.device = now.device;
        width.driver = now.driver;
        if (now.type != "cpu") {
          width.reason = now.device + " is no CPU device";
          return true;
        }
        say("measuring vector widths on " + now.device + ", once");
      }
      if (round > 0) now.prefill_s = std::min(now.prefill_s, best[i].prefill_s), now.decode_s = std::min(now.decode_s, best[i].decode_s);
      best[i] = now;
    }
    if (best[1].subgroup_size <= best[0].subgroup_size) break;  // the variable changes nothing here
  }
  decide(best[0], best[1], width);
  return true;
}

}  // namespace

VectorWidth choose_vector_width(const ModelFlags& flags) {
  VectorWidth width;
  if (flags.no_tune || flags.keep_vector_width || !asks_for_vulkan(flags.device)) return width;
  if (const std::string given = value_of(kVariable); !given.empty()) {
    width.source = WidthSource::user;
    width.bits = static_cast<uint32_t>(std::strtoul(given.c_str(), nullptr, 10));
    return width;
  }
  const std::string path = file_path();
  if (path.empty()) return width;
  const Json key = key_of(flags.device), entries = read_entries(path);
  for (const Json& entry : entries) {
    if (entry["key"] != key) continue;
    width = {WidthSource::remembered, entry["bits"].get<uint32_t>(), entry["device"], entry["driver"], entry["reason"]};
    break;
  }
  if (width.source != WidthSource::remembered) {
    if (!measure(flags.device, width)) return {};
    width.source = WidthSource::measured;
    Json all = without(read_entries(path), key);
    const Json newest = {{"key", key}, {"device", width.device}, {"driver", width.driver}, {"bits", width.bits}, {"reason", width.reason}};
    all.insert(all.begin(), newest);
    while (all.size() > kMostEntries) all.erase(all.size() - 1);
    write_entries(path, all);
  }
  if (width.bits != 0) set_environment(kVariable, std::to_string(width.bits));
  return width;
}

void confirm_vector_width(const VectorWidth& width, const ModelFlags& flags, const std::string& driver) {
  if (width.source != WidthSource::remembered || width.driver == driver) return;
  const std::string path = file_path();
  const Json key = key_of(flags.device), entries = read_entries(path), kept = without(entries, key);
  if (kept.size() != entries.size()) write_entries(path, kept);
}

std::string describe(const VectorWidth& width) {
  const std::string bits = width.bits == 0 ? "the driver's own" : std::to_string(width.bits) + " bits";
  switch (width.source) {
    case WidthSource::off: return "the driver's own (not tuned)";
    case WidthSource::user: return bits + " (" + kVariable + " is set)";
    case WidthSource::remembered:
    case WidthSource::measured: break;
  }
  return bits + " (" + (width.reason.starts_with("64 ") ? "measured: " : "") + width.reason + ")";
}

}  // namespace quire_app
