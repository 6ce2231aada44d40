#include "engine/device/vulkan/vulkan_pipeline.hpp"

#include <algorithm>

#include "engine/device/vulkan/vulkan_pipeline_file.hpp"

namespace quire {

VulkanPipelines::~VulkanPipelines() {
  for (const auto& [kernel, pipeline] : pipelines_) context_.vk.DestroyPipeline(context_.device, pipeline.pipeline, nullptr);
  for (const auto& [bytes, layout] : layouts_) context_.vk.DestroyPipelineLayout(context_.device, layout, nullptr);
  if (cache_ != VK_NULL_HANDLE) context_.vk.DestroyPipelineCache(context_.device, cache_, nullptr);
}

Status VulkanPipelines::open_cache(const std::string& folder) {
  std::vector<std::byte> payload;
  if (!folder.empty()) {
    cache_path_ = pipeline_file_path(folder, context_.physical);
    payload = read_pipeline_file(cache_path_, context_.physical);
  }
  VkPipelineCacheCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
  info.initialDataSize = payload.size();
  info.pInitialData = payload.data();
  VkPipelineCache cache = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(context_.vk, CreatePipelineCache, context_.device, &info, nullptr, &cache);
  cache_ = cache;
  if (!payload.empty()) saved_checksum_ = pipeline_payload_checksum(payload);
  return {};
}

Result<VulkanPipeline> VulkanPipelines::get(const KernelVariant& kernel) {
  if (const auto found = pipelines_.find(kernel); found != pipelines_.end()) return found->second;
  VulkanPipeline made;
  QUIRE_ASSIGN(made.layout, layout_of(kernel_info(kernel.id).args_bytes));
  QUIRE_ASSIGN(made.pipeline, create(kernel, made.layout));
  pipelines_.emplace(kernel, made);
  made_since_save_ = true;
  return made;
}

Result<VkPipelineLayout> VulkanPipelines::layout_of(uint16_t args_bytes) {
  if (const auto found = layouts_.find(args_bytes); found != layouts_.end()) return found->second;
  const VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, args_bytes};
  VkPipelineLayoutCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  info.pushConstantRangeCount = 1;
  info.pPushConstantRanges = &range;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(context_.vk, CreatePipelineLayout, context_.device, &info, nullptr, &layout);
  layouts_.emplace(args_bytes, layout);
  return layout;
}

// GPUs load a value that all lanes need once; a processor's lanes load it one after another, unless they exchange it.
std::span<const uint32_t> VulkanPipelines::code_of(const KernelVariant& kernel) const {
  const DeviceInfo& info = context_.physical.info;
  const std::span<const std::string_view> constants = kernel_info(kernel.id).spec_constants;
  const auto lanes = std::find(constants.begin(), constants.end(), "lanes");
  if (info.type == DeviceType::cpu && info.limits.subgroup_broadcast && lanes != constants.end() &&
      kernel.spec[static_cast<size_t>(lanes - constants.begin())] == info.limits.subgroup_size) {
    const std::span<const uint32_t> code = shaders_(kernel.id, kernel.weight, LaneExchange::broadcast);
    if (!code.empty()) return code;
  }
  return shaders_(kernel.id, kernel.weight, LaneExchange::none);
}

Result<VkPipeline> VulkanPipelines::create(const KernelVariant& kernel, VkPipelineLayout layout) {
  const KernelInfo& manifest = kernel_info(kernel.id);
  const std::span<const uint32_t> code = code_of(kernel);
  if (code.empty()) {
    const std::string_view weight = weight_type_name(kernel.weight);
    return make_error(Code::unsupported, "no Vulkan shader was built for kernel %.*s with weight type %.*s", static_cast<int>(manifest.name.size()),
                      manifest.name.data(), static_cast<int>(weight.size()), weight.data());
  }
  VkShaderModuleCreateInfo module_info{};
  module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  module_info.codeSize = code.size_bytes();
  module_info.pCode = code.data();
  VkShaderModule module = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(context_.vk, CreateShaderModule, context_.device, &module_info, nullptr, &module);

  const auto count = static_cast<uint32_t>(manifest.spec_constants.size());
  std::array<VkSpecializationMapEntry, kMaxSpecConstants> entries{};
  for (uint32_t i = 0; i < count; ++i) entries[i] = {i, static_cast<uint32_t>(i * sizeof(uint32_t)), sizeof(uint32_t)};
  VkSpecializationInfo specialization{};
  specialization.mapEntryCount = count;
  specialization.pMapEntries = entries.data();
  specialization.dataSize = count * sizeof(uint32_t);
  specialization.pData = kernel.spec.data();
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &specialization;
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT subgroup{};
  if (kernel.id == KernelId::matmul_cooperative) {
    subgroup.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT;
    subgroup.requiredSubgroupSize = context_.physical.info.limits.subgroup_size;
    info.stage.pNext = &subgroup;
    info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;
  }
  info.layout = layout;
  VkPipeline pipeline = VK_NULL_HANDLE;
  const VkResult result = context_.vk.CreateComputePipelines(context_.device, cache_, 1, &info, nullptr, &pipeline);
  context_.vk.DestroyShaderModule(context_.device, module, nullptr);
  if (result != VK_SUCCESS) {
    const Error error = vulkan_error(result, "vkCreateComputePipelines");
    return make_error(error.code, "%s for kernel %.*s", error.message.c_str(), static_cast<int>(manifest.name.size()), manifest.name.data());
  }
  return pipeline;
}

Status VulkanPipelines::save_cache() {
  if (cache_path_.empty() || !made_since_save_) return {};
  size_t bytes = 0;
  QUIRE_VULKAN_TRY(context_.vk, GetPipelineCacheData, context_.device, cache_, &bytes, nullptr);
  std::vector<std::byte> payload(bytes);
  QUIRE_VULKAN_TRY(context_.vk, GetPipelineCacheData, context_.device, cache_, &bytes, payload.data());
  payload.resize(bytes);
  const uint64_t checksum = pipeline_payload_checksum(payload);
  if (checksum != saved_checksum_) QUIRE_TRY(write_pipeline_file(cache_path_, payload));
  saved_checksum_ = checksum;
  made_since_save_ = false;
  return {};
}

}  // namespace quire
