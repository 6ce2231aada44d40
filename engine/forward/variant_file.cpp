#include "engine/forward/variant_file.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <span>
#include <string_view>

#include "engine/forward/variant_tuning.hpp"
#include "engine/platform/file.hpp"

namespace quire {
namespace {

constexpr uint64_t kCapBytes = 4096;

std::string file_text(const DeviceInfo& device, const VariantSet& defaults, const VariantSet& tuned) {
  std::string text = "quire variants 1\ndevice " + device.name + "\ndriver " + device.driver + "\ndefaults " + defaults.describe() + "\n";
  for (const TunedField& field : tuned_fields()) text += field.name + (" " + std::to_string(tuned.*field.value) + "\n");
  return text;
}

/// The number after the line's first word; 0 if there is no such line.
uint32_t value_of(std::string_view text, std::string_view name) {
  const size_t found = text.find("\n" + std::string(name) + " ");
  if (found == std::string_view::npos) return 0;
  uint32_t value = 0;
  const char* begin = text.data() + found + name.size() + 2;
  return std::from_chars(begin, text.data() + text.size(), value).ec == std::errc() ? value : 0;
}

std::string mark_path(const std::string& path) { return path.substr(0, path.rfind('.')) + ".unfinished"; }

}  // namespace

std::string variant_file_path(const std::string& folder, const DeviceInfo& device) {
  char part[64];
  std::snprintf(part, sizeof part, "/variants-%08x-%08x-", device.vendor_id, device.device_id);
  std::string path = folder + part;
  for (const uint8_t byte : device.uuid) {
    std::snprintf(part, sizeof part, "%02x", byte);
    path += part;
  }
  return path + "-" + std::to_string(device.limits.subgroup_size) + ".txt";
}

std::optional<VariantSet> read_variant_file(const std::string& path, const DeviceInfo& device, const VariantSet& defaults) {
  const Result<std::vector<std::byte>> file = read_small_file(path, kCapBytes);
  if (!file.ok()) return std::nullopt;
  const std::string_view text(reinterpret_cast<const char*>(file->data()), file->size());
  VariantSet tuned = defaults;
  for (const TunedField& field : tuned_fields()) {
    const uint32_t value = value_of(text, field.name);
    const std::vector<uint32_t> candidates = tuning_candidates(field, defaults, device.limits);
    if (std::find(candidates.begin(), candidates.end(), value) == candidates.end()) return std::nullopt;
    tuned.*field.value = value;
  }
  if (text != file_text(device, defaults, tuned)) return std::nullopt;
  return tuned;
}

Status write_variant_file(const std::string& path, const DeviceInfo& device, const VariantSet& defaults, const VariantSet& tuned) {
  const std::string text = file_text(device, defaults, tuned);
  return write_file_atomically(path, std::as_bytes(std::span(text)));
}

Status mark_unfinished(const std::string& path, uint32_t tries) {
  const char digit = static_cast<char>('0' + tries);
  return write_file_atomically(mark_path(path), std::as_bytes(std::span(&digit, 1)));
}

uint32_t take_unfinished_mark(const std::string& path) {
  const Result<std::vector<std::byte>> mark = read_small_file(mark_path(path), 1);
  if (std::remove(mark_path(path).c_str()) != 0 || !mark.ok() || mark->empty()) return 0;
  const char digit = static_cast<char>((*mark)[0]);
  return digit >= '1' && digit <= '9' ? static_cast<uint32_t>(digit - '0') : 0;
}

}  // namespace quire
