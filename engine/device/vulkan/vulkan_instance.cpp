#include "engine/device/vulkan/vulkan_instance.hpp"

#include <algorithm>
#include <cstring>

namespace quire {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";
/// Where the system keeps its loader; only the running system's name is found.
constexpr const char* kLoaderNames[] = {"libvulkan.so.1", "vulkan-1.dll", "libvulkan.1.dylib"};

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
  const auto& message = *static_cast<const std::function<void(const char*)>*>(user);
  if (message && data->pMessage != nullptr) message(data->pMessage);
  return VK_FALSE;
}

VkDebugUtilsMessengerCreateInfoEXT messenger_info(std::function<void(const char*)>* message) {
  VkDebugUtilsMessengerCreateInfoEXT info{};
  info.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  info.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                     VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
  info.pfnUserCallback = on_message;
  info.pUserData = message;
  return info;
}

Result<bool> has_layer(const GlobalFunctions& global, const char* name) {
  uint32_t count = 0;
  QUIRE_VULKAN_TRY(global, EnumerateInstanceLayerProperties, &count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  QUIRE_VULKAN_TRY(global, EnumerateInstanceLayerProperties, &count, layers.data());
  return std::any_of(layers.begin(), layers.end(), [&](const VkLayerProperties& layer) { return std::strcmp(layer.layerName, name) == 0; });
}

/// `layer`: null for the loader's own extensions.
Result<bool> has_extension(const GlobalFunctions& global, const char* layer, const char* name) {
  uint32_t count = 0;
  QUIRE_VULKAN_TRY(global, EnumerateInstanceExtensionProperties, layer, &count, nullptr);
  std::vector<VkExtensionProperties> extensions(count);
  QUIRE_VULKAN_TRY(global, EnumerateInstanceExtensionProperties, layer, &count, extensions.data());
  return std::any_of(extensions.begin(), extensions.end(),
                     [&](const VkExtensionProperties& extension) { return std::strcmp(extension.extensionName, name) == 0; });
}

}  // namespace

Result<std::unique_ptr<VulkanInstance>> VulkanInstance::create(const DeviceOptions& options) {
  std::unique_ptr<VulkanInstance> instance(new VulkanInstance());
  auto get_instance_proc_addr = reinterpret_cast<PFN_vkGetInstanceProcAddr>(options.get_instance_proc_addr);
  if (get_instance_proc_addr == nullptr) {
    for (const char* name : kLoaderNames) {
      Result<DynamicLibrary> library = DynamicLibrary::open(name);
      if (!library.ok()) continue;
      instance->loader_ = std::move(library).value();
      break;
    }
    if (!instance->loader_) return make_error(Code::unsupported, "no Vulkan loader (%s) is installed", kLoaderNames[0]);
    get_instance_proc_addr = reinterpret_cast<PFN_vkGetInstanceProcAddr>(instance->loader_->lookup("vkGetInstanceProcAddr"));
    if (get_instance_proc_addr == nullptr) return make_error(Code::unsupported, "the Vulkan loader has no vkGetInstanceProcAddr");
  }
  QUIRE_ASSIGN(const GlobalFunctions global, load_global_functions(get_instance_proc_addr));
  QUIRE_TRY(instance->create_instance(global, options));
  if (options.validation) QUIRE_TRY(instance->create_messenger());
  return instance;
}

Result<std::unique_ptr<VulkanInstance>> VulkanInstance::borrow(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance handle) {
  std::unique_ptr<VulkanInstance> instance(new VulkanInstance());
  QUIRE_ASSIGN(instance->functions_, load_instance_functions(get_instance_proc_addr, handle));
  instance->instance_ = handle;
  return instance;
}

Status VulkanInstance::create_instance(const GlobalFunctions& global, const DeviceOptions& options) {
  uint32_t version = 0;
  QUIRE_VULKAN_TRY(global, EnumerateInstanceVersion, &version);
  if (version < VK_API_VERSION_1_2)
    return make_error(Code::unsupported, "the Vulkan loader is version %u.%u, below 1.2", VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));

  std::vector<const char*> layers;
  std::vector<const char*> extensions;
  VkInstanceCreateFlags flags = 0;
  QUIRE_ASSIGN(const bool portability, has_extension(global, nullptr, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME));
  if (portability) {
    extensions.push_back(VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME);
    flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
  }
  if (options.validation) {
    QUIRE_ASSIGN(const bool layer, has_layer(global, kValidationLayer));
    if (!layer) return make_error(Code::unsupported, "validation was asked for, but the layer %s is not installed", kValidationLayer);
    layers.push_back(kValidationLayer);
    extensions.push_back(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    extensions.push_back(VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);
  }
  message_ = options.message;

  VkApplicationInfo application{};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.pEngineName = "quire";
  application.apiVersion = VK_API_VERSION_1_2;  // whatever is newer is asked for through its extension
  const VkValidationFeatureEnableEXT enabled_checks[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
  VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(&message_);  // for messages of creation and destruction themselves
  VkValidationFeaturesEXT checks{};
  checks.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT;
  checks.pNext = &messenger;
  checks.enabledValidationFeatureCount = 1;
  checks.pEnabledValidationFeatures = enabled_checks;
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pNext = options.validation ? &checks : nullptr;
  info.flags = flags;
  info.pApplicationInfo = &application;
  info.enabledLayerCount = static_cast<uint32_t>(layers.size());
  info.ppEnabledLayerNames = layers.data();
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  QUIRE_VULKAN_TRY(global, CreateInstance, &info, nullptr, &instance_);
  owned_ = true;
  Result<InstanceFunctions> functions = load_instance_functions(global.GetInstanceProcAddr, instance_);
  if (!functions.ok()) {
    // Without its table the instance cannot be destroyed through it; ask for that one entry alone.
    if (const auto destroy = reinterpret_cast<PFN_vkDestroyInstance>(global.GetInstanceProcAddr(instance_, "vkDestroyInstance")))
      destroy(instance_, nullptr);
    owned_ = false;
    return functions.error();
  }
  functions_ = *functions;
  return {};
}

Status VulkanInstance::create_messenger() {
  if (functions_.CreateDebugUtilsMessengerEXT == nullptr || functions_.DestroyDebugUtilsMessengerEXT == nullptr ||
      functions_.SetDebugUtilsObjectNameEXT == nullptr)
    return make_error(Code::unsupported, "validation was asked for, but %s has no entry points", VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
  const VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(&message_);
  QUIRE_VULKAN_TRY(functions_, CreateDebugUtilsMessengerEXT, instance_, &info, nullptr, &messenger_);
  return {};
}

Result<std::vector<VkPhysicalDevice>> VulkanInstance::physical_devices() const {
  uint32_t count = 0;
  QUIRE_VULKAN_TRY(functions_, EnumeratePhysicalDevices, instance_, &count, nullptr);
  std::vector<VkPhysicalDevice> devices(count);
  if (count == 0) return devices;
  QUIRE_VULKAN_TRY(functions_, EnumeratePhysicalDevices, instance_, &count, devices.data());
  devices.resize(count);
  return devices;
}

VulkanInstance::~VulkanInstance() {
  if (!owned_) return;
  if (messenger_ != VK_NULL_HANDLE) functions_.DestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
  functions_.DestroyInstance(instance_, nullptr);
}

}  // namespace quire
