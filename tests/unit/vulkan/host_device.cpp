#include "tests/unit/vulkan/host_device.hpp"

#include <doctest/doctest.h>

#include "tests/support/vulkan_fixture.hpp"

namespace quire::test {
namespace {

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
  static_cast<std::vector<std::string>*>(user)->emplace_back(data->pMessage);
  return VK_FALSE;
}

}  // namespace

HostDevice::HostDevice(void* get_instance_proc_addr, bool validation) : get_instance_proc_addr_(get_instance_proc_addr) {
  if (validation) keep_validation_layer_loaded();
  const auto get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(get_instance_proc_addr);
  const auto global = load_global_functions(get);
  REQUIRE(global.ok());
  VkApplicationInfo application{};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.apiVersion = VK_API_VERSION_1_2;
  const char* layer = "VK_LAYER_KHRONOS_validation";
  const char* const extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
  const VkValidationFeatureEnableEXT checks[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
  VkValidationFeaturesEXT features{};
  features.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT;
  features.enabledValidationFeatureCount = 1;
  features.pEnabledValidationFeatures = checks;
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  if (validation) {
    info.pNext = &features;
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &layer;
    info.enabledExtensionCount = 2;
    info.ppEnabledExtensionNames = extensions;
  }
  REQUIRE(global->CreateInstance(&info, nullptr, &instance_) == VK_SUCCESS);
  const auto instance_functions = load_instance_functions(get, instance_);
  REQUIRE(instance_functions.ok());
  instance_functions_ = *instance_functions;
  if (validation) {
    VkDebugUtilsMessengerCreateInfoEXT messenger{};
    messenger.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
    messenger.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
    messenger.pfnUserCallback = on_message;
    messenger.pUserData = &messages;
    REQUIRE(instance_functions_.CreateDebugUtilsMessengerEXT(instance_, &messenger, nullptr, &messenger_) == VK_SUCCESS);
  }
  uint32_t count = 1;
  REQUIRE(instance_functions_.EnumeratePhysicalDevices(instance_, &count, &physical_) >= VK_SUCCESS);
  REQUIRE(count == 1);

  // Family 0 has compute on every driver these tests run on; the library checks it again.
  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkPhysicalDeviceVulkan12Features vulkan12{};
  vulkan12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  vulkan12.timelineSemaphore = VK_TRUE;
  vulkan12.bufferDeviceAddress = VK_TRUE;
  vulkan12.storageBuffer8BitAccess = VK_TRUE;
  VkPhysicalDeviceVulkan11Features vulkan11{};
  vulkan11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
  vulkan11.pNext = &vulkan12;
  vulkan11.storageBuffer16BitAccess = VK_TRUE;
  VkDeviceCreateInfo device{};
  device.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  device.pNext = &vulkan11;
  device.queueCreateInfoCount = 1;
  device.pQueueCreateInfos = &queue;
  REQUIRE(instance_functions_.CreateDevice(physical_, &device, nullptr, &device_) == VK_SUCCESS);
  const auto device_functions = load_device_functions(instance_functions_, device_);
  REQUIRE(device_functions.ok());
  vk = *device_functions;
  vk.GetDeviceQueue(device_, 0, 0, &queue_);
  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  REQUIRE(vk.CreateCommandPool(device_, &pool, nullptr, &pool_) == VK_SUCCESS);
}

HostDevice::~HostDevice() {
  vk.DestroyCommandPool(device_, pool_, nullptr);
  vk.DestroyDevice(device_, nullptr);
  if (messenger_ != VK_NULL_HANDLE) instance_functions_.DestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
  instance_functions_.DestroyInstance(instance_, nullptr);
}

VulkanAdoption HostDevice::adoption() {
  VulkanAdoption adoption;
  adoption.get_instance_proc_addr = get_instance_proc_addr_;
  adoption.instance = instance_;
  adoption.physical_device = physical_;
  adoption.device = device_;
  adoption.queue = queue_;
  adoption.queue_family = 0;
  adoption.api_version = VK_API_VERSION_1_2;
  adoption.timeline_semaphore = true;
  adoption.buffer_device_address = true;
  adoption.storage_16bit = true;
  adoption.storage_8bit = true;
  adoption.user = this;
  adoption.lock_queue = [](void* user) {
    auto& host = *static_cast<HostDevice*>(user);
    CHECK_FALSE(host.locked);
    host.locked = true;
    ++host.lock_count;
  };
  adoption.unlock_queue = [](void* user) {
    auto& host = *static_cast<HostDevice*>(user);
    CHECK(host.locked);
    host.locked = false;
  };
  return adoption;
}

HostDevice::RawBuffer HostDevice::create_buffer(uint64_t bytes) {
  RawBuffer raw;
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = bytes;
  info.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  REQUIRE(vk.CreateBuffer(device_, &info, nullptr, &raw.buffer) == VK_SUCCESS);
  VkMemoryRequirements requirements{};
  vk.GetBufferMemoryRequirements(device_, raw.buffer, &requirements);
  VkMemoryAllocateInfo allocation{};
  allocation.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  allocation.allocationSize = requirements.size;
  while ((requirements.memoryTypeBits >> allocation.memoryTypeIndex & 1u) == 0) ++allocation.memoryTypeIndex;
  REQUIRE(vk.AllocateMemory(device_, &allocation, nullptr, &raw.memory) == VK_SUCCESS);
  REQUIRE(vk.BindBufferMemory(device_, raw.buffer, raw.memory, 0) == VK_SUCCESS);
  return raw;
}

void HostDevice::destroy(const RawBuffer& raw) {
  vk.DestroyBuffer(device_, raw.buffer, nullptr);
  vk.FreeMemory(device_, raw.memory, nullptr);
}

VkCommandBuffer HostDevice::begin() {
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = pool_;
  info.commandBufferCount = 1;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  REQUIRE(vk.AllocateCommandBuffers(device_, &info, &commands) == VK_SUCCESS);
  VkCommandBufferBeginInfo begin_info{};
  begin_info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  REQUIRE(vk.BeginCommandBuffer(commands, &begin_info) == VK_SUCCESS);
  return commands;
}

void HostDevice::discard(VkCommandBuffer commands) {
  CHECK(vk.EndCommandBuffer(commands) == VK_SUCCESS);
  vk.FreeCommandBuffers(device_, pool_, 1, &commands);
}

void HostDevice::submit_and_wait(VkCommandBuffer commands) {
  REQUIRE(vk.EndCommandBuffer(commands) == VK_SUCCESS);
  VkSemaphoreTypeCreateInfo type{};
  type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  info.pNext = &type;
  VkSemaphore semaphore = VK_NULL_HANDLE;
  REQUIRE(vk.CreateSemaphore(device_, &info, nullptr, &semaphore) == VK_SUCCESS);
  const uint64_t one = 1;
  VkTimelineSemaphoreSubmitInfo values{};
  values.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
  values.signalSemaphoreValueCount = 1;
  values.pSignalSemaphoreValues = &one;
  VkSubmitInfo submit{};
  submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  submit.pNext = &values;
  submit.commandBufferCount = 1;
  submit.pCommandBuffers = &commands;
  submit.signalSemaphoreCount = 1;
  submit.pSignalSemaphores = &semaphore;
  locked = true;
  REQUIRE(vk.QueueSubmit(queue_, 1, &submit, VK_NULL_HANDLE) == VK_SUCCESS);
  locked = false;
  VkSemaphoreWaitInfo wait{};
  wait.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  wait.semaphoreCount = 1;
  wait.pSemaphores = &semaphore;
  wait.pValues = &one;
  REQUIRE(vk.WaitSemaphores(device_, &wait, uint64_t{20} * 1000 * 1000 * 1000) == VK_SUCCESS);
  vk.DestroySemaphore(device_, semaphore, nullptr);
  vk.FreeCommandBuffers(device_, pool_, 1, &commands);
}

}  // namespace quire::test
