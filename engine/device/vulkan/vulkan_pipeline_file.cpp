#include "engine/device/vulkan/vulkan_pipeline_file.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/platform/file.hpp"

namespace quire {
namespace {

constexpr char kMagic[8] = {'Q', 'U', 'I', 'R', 'E', 'P', 'L', 'C'};
constexpr uint64_t kVersion = 1;
constexpr size_t kHeaderBytes = 32;
constexpr size_t kVulkanHeaderBytes = 16 + VK_UUID_SIZE;
constexpr uint64_t kCapBytes = uint64_t{256} << 20;

void put_little_endian(uint64_t value, size_t bytes, std::byte* to) {
  for (size_t i = 0; i < bytes; ++i) to[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

uint64_t get_little_endian(const std::byte* from, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(from[i]) << (8 * i);
  return value;
}

bool is_of_device(std::span<const std::byte> payload, const PhysicalDevice& device) {
  return payload.size() >= kVulkanHeaderBytes && get_little_endian(&payload[0], 4) == kVulkanHeaderBytes &&
         get_little_endian(&payload[4], 4) == VK_PIPELINE_CACHE_HEADER_VERSION_ONE && get_little_endian(&payload[8], 4) == device.info.vendor_id &&
         get_little_endian(&payload[12], 4) == device.info.device_id &&
         std::memcmp(&payload[16], device.pipeline_cache_uuid.data(), VK_UUID_SIZE) == 0;
}

}  // namespace

uint64_t pipeline_payload_checksum(std::span<const std::byte> payload) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (std::byte byte : payload) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
  return hash;
}

std::string pipeline_file_path(const std::string& folder, const PhysicalDevice& device) {
  char name[64];
  std::snprintf(name, sizeof name, "pipelines-%08x-%08x-%08x-", device.info.vendor_id, device.info.device_id, device.driver_version);
  std::string path = folder + "/" + name;
  for (uint8_t byte : device.pipeline_cache_uuid) {
    std::snprintf(name, sizeof name, "%02x", byte);
    path += name;
  }
  return path + ".bin";
}

std::vector<std::byte> read_pipeline_file(const std::string& path, const PhysicalDevice& device) {
  Result<std::vector<std::byte>> file = read_small_file(path, kCapBytes);
  if (!file.ok() || file->size() < kHeaderBytes) return {};
  const std::byte* header = file->data();
  const std::span<const std::byte> payload = std::span<const std::byte>(*file).subspan(kHeaderBytes);
  if (std::memcmp(header, kMagic, sizeof kMagic) != 0 || get_little_endian(header + 8, 8) != kVersion ||
      get_little_endian(header + 16, 8) != payload.size() || get_little_endian(header + 24, 8) != pipeline_payload_checksum(payload) ||
      !is_of_device(payload, device))
    return {};
  return {payload.begin(), payload.end()};
}

Status write_pipeline_file(const std::string& path, std::span<const std::byte> payload) {
  std::vector<std::byte> content(kHeaderBytes + payload.size());
  std::memcpy(content.data(), kMagic, sizeof kMagic);
  put_little_endian(kVersion, 8, &content[8]);
  put_little_endian(payload.size(), 8, &content[16]);
  put_little_endian(pipeline_payload_checksum(payload), 8, &content[24]);
  std::copy(payload.begin(), payload.end(), content.begin() + kHeaderBytes);
  return write_file_atomically(path, content);
}

}  // namespace quire
