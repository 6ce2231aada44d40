// The file that keeps a driver's pipeline cache between processes.
//
// Bytes: "QUIREPLC" | u32 version 1 | u32 zero | u64 payload bytes | u64 FNV-1a of the payload | payload, all little-endian.
// The payload is what vkGetPipelineCacheData gave; its own header names vendor, device and cache UUID (Vulkan specification, VkPipelineCacheHeaderVersionOne).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/vulkan/vulkan_limits.hpp"

namespace quire {

/// FNV-1a, 64 bits (Fowler, Noll and Vo).
uint64_t pipeline_payload_checksum(std::span<const std::byte> payload);

/// `folder` + a name made of vendor, device, driver version and cache UUID.
std::string pipeline_file_path(const std::string& folder, const PhysicalDevice& device);

/// The payload, or nothing if there is no such file or it is damaged or of another device.
std::vector<std::byte> read_pipeline_file(const std::string& path, const PhysicalDevice& device);

/// On error: not_found (no such folder), io.
Status write_pipeline_file(const std::string& path, std::span<const std::byte> payload);

}  // namespace quire
