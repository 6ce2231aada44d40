#include "engine/device/vulkan/vulkan_device.hpp"

#include <algorithm>

#include "engine/device/vulkan/vulkan_choice.hpp"
#include "engine/device/vulkan/vulkan_memory.hpp"
#include "shaders/shader_binaries.hpp"

namespace quire {
namespace {

/// How long destruction waits for work in flight before it gives up and leaves the device's objects undestroyed.
constexpr std::chrono::seconds kLastWait{30};

VulkanFeatures enabled_features(const VulkanAdoption& adoption, const VulkanFeatures& offered) {
  const auto has_extension = [&](const char* name) {
    return std::find(adoption.device_extensions.begin(), adoption.device_extensions.end(), name) != adoption.device_extensions.end();
  };
  VulkanFeatures features;
  features.timeline_semaphore = adoption.timeline_semaphore;
  features.buffer_device_address = adoption.buffer_device_address;
  features.storage_16bit = adoption.storage_16bit;
  features.storage_8bit = adoption.storage_8bit;
  features.shader_float16 = adoption.shader_float16;
  features.shader_integer_dot_product = adoption.shader_integer_dot_product;
  features.memory_budget = offered.memory_budget && has_extension(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  return features;
}

/// Not every shader compiler knows cooperative matrices.
void limit_to_built_kernels(Limits& limits, ShaderSource shaders) {
  if (shaders(KernelId::matmul_cooperative, WeightType::f32, LaneExchange::none).empty()) limits.cooperative_shape = {};
}

}  // namespace

Result<std::vector<DeviceInfo>> list_vulkan_devices(const DeviceOptions& options) {
  QUIRE_ASSIGN(const std::unique_ptr<VulkanInstance> instance, VulkanInstance::create(options));
  QUIRE_ASSIGN(const std::vector<VkPhysicalDevice> handles, instance->physical_devices());
  QUIRE_ASSIGN(const std::vector<PhysicalDevice> devices, describe_physical_devices(instance->functions(), handles));
  std::vector<DeviceInfo> infos;
  for (const PhysicalDevice& device : devices) {
    infos.push_back(device.info);
    limit_to_built_kernels(infos.back().limits, shader_binary);
  }
  return infos;
}

Result<std::unique_ptr<BackendDevice>> open_vulkan_device(const DeviceOptions& options) {
  QUIRE_ASSIGN(std::unique_ptr<BackendDevice> device, VulkanDevice::open(options, shader_binary));
  return device;
}

Result<std::unique_ptr<VulkanDevice>> VulkanDevice::open(const DeviceOptions& options, ShaderSource shaders) {
  std::unique_ptr<VulkanDevice> device(new VulkanDevice());
  QUIRE_TRY(options.adoption != nullptr ? device->adopt(*options.adoption) : device->create_own(options));
  QUIRE_TRY(device->finish_open(options, shaders));
  return device;
}

Status VulkanDevice::create_own(const DeviceOptions& options) {
  QUIRE_ASSIGN(instance_, VulkanInstance::create(options));
  QUIRE_ASSIGN(const std::vector<VkPhysicalDevice> handles, instance_->physical_devices());
  QUIRE_ASSIGN(std::vector<PhysicalDevice> devices, describe_physical_devices(instance_->functions(), handles));
  std::vector<DeviceInfo> infos;
  for (const PhysicalDevice& device : devices) infos.push_back(device.info);
  QUIRE_ASSIGN(const size_t chosen, choose_device(infos, options.select));
  context_.instance_functions = &instance_->functions();
  context_.physical = std::move(devices[chosen]);
  context_.debug_names = instance_->debug_utils();
  return create_logical_device();
}

Status VulkanDevice::create_logical_device() {
  const VulkanFeatures& features = context_.physical.features;
  VkPhysicalDeviceVulkan12Features vulkan12{};
  vulkan12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  vulkan12.timelineSemaphore = VK_TRUE;
  vulkan12.bufferDeviceAddress = VK_TRUE;
  vulkan12.storageBuffer8BitAccess = VK_TRUE;
  vulkan12.shaderFloat16 = features.shader_float16 ? VK_TRUE : VK_FALSE;
  VkPhysicalDeviceVulkan11Features vulkan11{};
  vulkan11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
  vulkan11.pNext = &vulkan12;
  vulkan11.storageBuffer16BitAccess = VK_TRUE;
  VkPhysicalDeviceFeatures2 head{};
  head.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  head.pNext = &vulkan11;

  std::vector<const char*> extensions;
  VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot{};
  if (features.shader_integer_dot_product) {
    extensions.push_back(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR;
    dot.shaderIntegerDotProduct = VK_TRUE;
    dot.pNext = head.pNext;
    head.pNext = &dot;
  }
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix{};
  if (features.cooperative_matrix) {
    extensions.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    matrix.cooperativeMatrix = VK_TRUE;
    matrix.pNext = head.pNext;
    head.pNext = &matrix;
    vulkan12.vulkanMemoryModel = VK_TRUE;
    vulkan12.vulkanMemoryModelDeviceScope = VK_TRUE;  // with the model on, persistent_step's atomics need it
  }
  VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes{};
  if (features.subgroup_size_control) {
    extensions.push_back(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    sizes.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT;
    sizes.subgroupSizeControl = VK_TRUE;
    sizes.computeFullSubgroups = VK_TRUE;
    sizes.pNext = head.pNext;
    head.pNext = &sizes;
  }
  if (features.memory_budget) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (features.portability_subset) extensions.push_back("VK_KHR_portability_subset");

  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = context_.physical.queue_family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = &head;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  VkDevice device = VK_NULL_HANDLE;
  QUIRE_VULKAN_TRY(instance_->functions(), CreateDevice, context_.physical.handle, &info, nullptr, &device);
  context_.device = device;
  owns_device_ = true;
  return {};
}

Status VulkanDevice::adopt(const VulkanAdoption& adoption) {
  if (adoption.get_instance_proc_addr == nullptr || adoption.instance == nullptr || adoption.physical_device == nullptr ||
      adoption.device == nullptr || adoption.queue == nullptr)
    return make_error(Code::invalid_argument, "adopting a device needs its vkGetInstanceProcAddr, instance, physical device, device and queue");
  if (adoption.api_version < VK_API_VERSION_1_2)
    return make_error(Code::unsupported, "the adopted instance was made for Vulkan %u.%u, below 1.2", VK_API_VERSION_MAJOR(adoption.api_version),
                      VK_API_VERSION_MINOR(adoption.api_version));
  QUIRE_ASSIGN(instance_, VulkanInstance::borrow(reinterpret_cast<PFN_vkGetInstanceProcAddr>(adoption.get_instance_proc_addr),
                                                 static_cast<VkInstance>(adoption.instance)));
  context_.instance_functions = &instance_->functions();
  QUIRE_ASSIGN(context_.physical, describe_physical_device(instance_->functions(), static_cast<VkPhysicalDevice>(adoption.physical_device)));
  PhysicalDevice& physical = context_.physical;
  physical.features = enabled_features(adoption, physical.features);
  const std::string missing = missing_requirements(physical.features);
  if (!missing.empty()) return make_error(Code::unsupported, "the adopted device was made without %s", missing.c_str());
  if (!physical.info.usable) return make_error(Code::unsupported, "%s cannot be used: %s", physical.info.name.c_str(), physical.info.refusal.c_str());

  uint32_t count = 0;
  instance_->functions().GetPhysicalDeviceQueueFamilyProperties(physical.handle, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  instance_->functions().GetPhysicalDeviceQueueFamilyProperties(physical.handle, &count, families.data());
  if (adoption.queue_family >= count)
    return make_error(Code::invalid_argument, "the adopted queue family is %u, but the device has %u", adoption.queue_family, count);
  if ((families[adoption.queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0)
    return make_error(Code::invalid_argument, "the adopted queue family %u has no compute", adoption.queue_family);
  physical.queue_family = adoption.queue_family;
  physical.timestamp_valid_bits = families[adoption.queue_family].timestampValidBits;
  context_.device = static_cast<VkDevice>(adoption.device);
  context_.queue = static_cast<VkQueue>(adoption.queue);
  context_.lock_queue = adoption.lock_queue;
  context_.unlock_queue = adoption.unlock_queue;
  context_.user = adoption.user;
  return {};
}

Status VulkanDevice::finish_open(const DeviceOptions& options, ShaderSource shaders) {
  message_ = options.message;
  QUIRE_ASSIGN(context_.vk, load_device_functions(instance_->functions(), context_.device));
  if (owns_device_) context_.vk.GetDeviceQueue(context_.device, context_.physical.queue_family, 0, &context_.queue);
  Limits& limits = context_.physical.info.limits;
  apply_features(context_.physical.features, limits);
  limit_to_built_kernels(limits, shaders);
  const uint32_t real_subgroup_size = limits.subgroup_size;
  if (options.adjust_limits) options.adjust_limits(limits);
  if (limits.subgroup_size != real_subgroup_size) {  // the real subgroups are still of the other size
    limits.subgroup_broadcast = false;
    limits.cooperative_shape = {};
  }
  pipelines_ = std::make_unique<VulkanPipelines>(context_, shaders);
  QUIRE_TRY(pipelines_->open_cache(options.pipeline_cache_folder));
  encoder_ = std::make_unique<VulkanEncoder>(context_, *pipelines_, options.timestamps);
  return encoder_->open();
}

bool VulkanDevice::idle() {
  if (!encoder_ || encoder_->last_submitted() == 0) return true;
  for (int attempt = 0; attempt < 3 && !lost_; ++attempt) {
    const Status status = wait(encoder_->last_submitted(), kLastWait);
    if (status.ok()) return true;
    if (status.code() == Code::timeout) return false;  // other errors may pass: a wait that failed says nothing about the work
  }
  return lost_;
}

VulkanDevice::~VulkanDevice() {
  if (!idle()) {
    // What is in flight still uses these objects: leaving them is the only safe thing.
    if (message_) message_("the Vulkan device did not finish its work in time; its objects are left undestroyed");
    static_cast<void>(encoder_.release());
    static_cast<void>(pipelines_.release());
    static_cast<void>(instance_.release());
    return;
  }
  encoder_.reset();
  pipelines_.reset();
  if (!owns_device_) return;
  if (context_.vk.DestroyDevice != nullptr) {
    context_.vk.DestroyDevice(context_.device, nullptr);
  } else if (const auto destroy =
                 reinterpret_cast<PFN_vkDestroyDevice>(instance_->functions().GetDeviceProcAddr(context_.device, "vkDestroyDevice"))) {
    destroy(context_.device, nullptr);
  }
}

template <class Answer>
Answer VulkanDevice::note(Answer answer) {
  if (answer.code() == Code::device_lost) lost_ = true;
  return answer;
}

Result<std::unique_ptr<BackendBuffer>> VulkanDevice::create_buffer(uint64_t size_bytes, BufferUse use, const char* label) {
  Result<std::unique_ptr<VulkanBuffer>> buffer = note(VulkanBuffer::create(context_, size_bytes, use, label));
  if (!buffer.ok()) return std::move(buffer).error();
  return std::unique_ptr<BackendBuffer>(std::move(buffer).value());
}

Status VulkanDevice::prepare(const KernelVariant& kernel) {
  const Result<VulkanPipeline> pipeline = note(pipelines_->get(kernel));
  if (!pipeline.ok()) return pipeline.error();
  return {};
}

Result<std::shared_ptr<BackendRecording>> VulkanDevice::keep(std::span<const Command> commands) { return note(encoder_->keep(commands)); }

Status VulkanDevice::submit(std::span<const Command> commands, uint64_t signal_value) { return note(encoder_->submit(commands, signal_value)); }

Result<uint64_t> VulkanDevice::completed() { return note(encoder_->completed()); }

Status VulkanDevice::wait(uint64_t timeline_value, std::chrono::nanoseconds timeout) { return note(encoder_->wait(timeline_value, timeout)); }

Result<std::vector<KernelTiming>> VulkanDevice::take_timings() { return note(encoder_->take_timings()); }

DeviceMemory VulkanDevice::memory() { return query_memory_budget(context_); }

Status VulkanDevice::save_pipeline_cache() { return note(pipelines_->save_cache()); }

}  // namespace quire
