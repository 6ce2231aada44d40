#include "engine/device/vulkan/vulkan_choice.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>

namespace quire {
namespace {

// The C library's versions depend on the locale.
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

std::optional<size_t> parse_index(std::string_view text) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::array<uint8_t, 16>> parse_uuid(std::string_view text) {
  std::array<uint8_t, 16> uuid{};
  size_t digits = 0;
  for (char c : text) {
    if (c == '-') continue;
    c = lower(c);
    int value = 0;
    if (c >= '0' && c <= '9') value = c - '0';
    else if (c >= 'a' && c <= 'f') value = c - 'a' + 10;
    else return std::nullopt;
    if (digits == 32) return std::nullopt;
    uuid[digits / 2] = static_cast<uint8_t>(uuid[digits / 2] << 4 | value);
    ++digits;
  }
  if (digits != 32) return std::nullopt;
  return uuid;
}

template <class Matches>
std::optional<size_t> find_usable_first(std::span<const DeviceInfo> devices, Matches matches) {
  std::optional<size_t> unusable;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (!matches(devices[i])) continue;
    if (devices[i].usable) return i;
    if (!unusable) unusable = i;
  }
  return unusable;
}

}  // namespace

int device_rank(const DeviceInfo& device) {
  const int unusable = device.usable ? 0 : 1;
  switch (device.type) {
    case DeviceType::discrete: return 0 + unusable;
    case DeviceType::integrated: return 2 + unusable;
    case DeviceType::virtual_gpu: return 4 + unusable;
    case DeviceType::cpu: return 6 + unusable;
    case DeviceType::other: break;
  }
  return 8 + unusable;
}

Result<size_t> choose_device(std::span<const DeviceInfo> devices, std::string_view select) {
  if (devices.empty()) return make_error(Code::not_found, "there is no Vulkan device");
  std::optional<size_t> found;
  if (select.empty()) {
    found = find_usable_first(devices, [](const DeviceInfo&) { return true; });
  } else if (const auto index = parse_index(select); index && *index < devices.size()) {
    found = *index;
  } else if (const auto uuid = parse_uuid(select)) {
    found = find_usable_first(devices, [&](const DeviceInfo& device) { return device.uuid == *uuid; });
  } else {
    const std::string part = lowered(select);
    found = find_usable_first(devices, [&](const DeviceInfo& device) { return lowered(device.name).find(part) != std::string::npos; });
  }
  if (!found)
    return make_error(Code::not_found, "no Vulkan device has the index, UUID or part of a name '%.*s'; there are %zu devices",
                      static_cast<int>(select.size()), select.data(), devices.size());
  const DeviceInfo& device = devices[*found];
  if (!device.usable) return make_error(Code::unsupported, "%s cannot be used: %s", device.name.c_str(), device.refusal.c_str());
  return *found;
}

}  // namespace quire
