// Compute pipelines, one a KernelVariant, made when first needed.
#pragma once

#include <map>

#include "engine/device/kernel_manifest.hpp"
#include "engine/device/vulkan/vulkan_context.hpp"
#include "shaders/shader_binaries.hpp"

namespace quire {

struct VulkanPipeline {
  VkPipeline pipeline = VK_NULL_HANDLE;
  VkPipelineLayout layout = VK_NULL_HANDLE;
};

/// SPIR-V of a kernel for a weight type; empty if that variant was not built (shader_binary, or a test's own).
using ShaderSource = std::span<const uint32_t> (*)(KernelId id, WeightType weight, LaneExchange exchange);

class VulkanPipelines {
 public:
  /// `context` must outlive this object.
  VulkanPipelines(const VulkanContext& context, ShaderSource shaders) : context_(context), shaders_(shaders) {}
  VulkanPipelines(const VulkanPipelines&) = delete;
  VulkanPipelines& operator=(const VulkanPipelines&) = delete;
  /// Requires: no submission that uses a pipeline is in flight.
  ~VulkanPipelines();

  /// Makes the driver's cache, from the folder's file if there is a good one. `folder` empty: no file.
  Status open_cache(const std::string& folder);
  /// On error: unsupported (no such shader variant), out_of_*_memory, device_lost; a later call tries again.
  Result<VulkanPipeline> get(const KernelVariant& kernel);
  /// Writes the cache to its file if pipelines were made that it does not hold yet.
  Status save_cache();

 private:
  Result<VkPipelineLayout> layout_of(uint16_t args_bytes);
  std::span<const uint32_t> code_of(const KernelVariant& kernel) const;
  Result<VkPipeline> create(const KernelVariant& kernel, VkPipelineLayout layout);

  const VulkanContext& context_;
  ShaderSource shaders_;
  VkPipelineCache cache_ = VK_NULL_HANDLE;
  std::string cache_path_;
  uint64_t saved_checksum_ = 0;
  bool made_since_save_ = false;
  std::map<uint16_t, VkPipelineLayout> layouts_;  ///< by push-constant bytes
  std::map<KernelVariant, VulkanPipeline> pipelines_;
};

}  // namespace quire
