#include "tests/support/vulkan_shim.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "engine/device/vulkan/vulkan_functions.hpp"

namespace quire::test {
namespace {

#define QUIRE_SHIM_FUNCTIONS(X)    \
  QUIRE_VULKAN_GLOBAL_FUNCTIONS(X) \
  QUIRE_VULKAN_INSTANCE_FUNCTIONS(X) QUIRE_VULKAN_DEBUG_FUNCTIONS(X) QUIRE_VULKAN_DEVICE_FUNCTIONS(X)

enum class Call : size_t {
#define ENUMERATOR(name) name,
  QUIRE_SHIM_FUNCTIONS(ENUMERATOR)
#undef ENUMERATOR
      count
};
constexpr size_t kCallCount = static_cast<size_t>(Call::count);

constexpr const char* kCallNames[] = {
#define NAME(name) "vk" #name,
    QUIRE_SHIM_FUNCTIONS(NAME)
#undef NAME
};

constexpr bool is_device_call(Call call) {
  switch (call) {
    case Call::CreateDevice:
    case Call::SetDebugUtilsObjectNameEXT:
#define CASE(name) case Call::name:
      QUIRE_VULKAN_DEVICE_FUNCTIONS(CASE)
#undef CASE
      return true;
    default: return false;
  }
}

// Entry points carry no user data, so the shim in use is found here.
VulkanShim* active = nullptr;
std::array<PFN_vkVoidFunction, kCallCount> real_functions{};

bool starts_with(const char* text, const char* prefix) { return std::strncmp(text, prefix, std::strlen(prefix)) == 0; }

/// "vkCreateComputePipelines" and "vkDestroyPipeline" both speak of "Pipeline".
std::string object_kind(const char* call) {
  for (const char* prefix : {"vkCreate", "vkDestroy", "vkAllocate", "vkFree"}) {
    if (!starts_with(call, prefix)) continue;
    const std::string kind = call + std::strlen(prefix);
    return kind == "ComputePipelines" ? "Pipeline" : kind;
  }
  return {};
}

/// Answers an enumeration of named things, leaving out the hidden ones.
template <class Properties, class Query, class NameOf>
VkResult enumerate_without(Query query, NameOf name_of, const std::set<std::string>& hidden, uint32_t* count, Properties* out) {
  uint32_t all_count = 0;
  if (const VkResult result = query(&all_count, nullptr); result != VK_SUCCESS) return result;
  std::vector<Properties> all(all_count);
  if (const VkResult result = query(&all_count, all.data()); result != VK_SUCCESS) return result;
  all.resize(all_count);
  all.erase(std::remove_if(all.begin(), all.end(), [&](const Properties& item) { return hidden.count(name_of(item)) != 0; }), all.end());
  if (out == nullptr) {
    *count = static_cast<uint32_t>(all.size());
    return VK_SUCCESS;
  }
  const uint32_t copied = std::min(*count, static_cast<uint32_t>(all.size()));
  std::copy_n(all.begin(), copied, out);
  *count = copied;
  return copied < all.size() ? VK_INCOMPLETE : VK_SUCCESS;
}

template <class Head>
void edit_chain(const std::function<void(VkBaseOutStructure*)>& edit, Head* head) {
  if (!edit) return;
  for (auto* item = reinterpret_cast<VkBaseOutStructure*>(head); item != nullptr; item = item->pNext) edit(item);
}

PFN_vkVoidFunction wrap(const char* name);

}  // namespace

/// What the wrappers may touch of the shim, and what single calls do beyond being made.
struct ShimCalls {
  static std::optional<VkResult> before(Call call, bool returns_result) {
    if (call == Call::QueueSubmit && active->queue_locked != nullptr && !*active->queue_locked) ++active->unlocked_submits;
    return active->before(kCallNames[static_cast<size_t>(call)], is_device_call(call), returns_result);
  }

  /// How many objects a successful call made (above zero) or destroyed (below).
  template <Call kCall, class Args>
  static int64_t object_change(const Args& args) {
    const char* name = kCallNames[static_cast<size_t>(kCall)];
    if constexpr (kCall == Call::CreateComputePipelines) return std::get<2>(args);
    else if constexpr (kCall == Call::AllocateCommandBuffers) return std::get<1>(args)->commandBufferCount;
    else if constexpr (kCall == Call::FreeCommandBuffers) return -static_cast<int64_t>(std::get<2>(args));
    else if constexpr (kCall == Call::DestroyDevice || kCall == Call::DestroyInstance) return std::get<0>(args) != VK_NULL_HANDLE ? -1 : 0;
    else if constexpr (std::tuple_size_v<Args> >= 2) {
      if (starts_with(name, "vkCreate") || starts_with(name, "vkAllocate")) return 1;
      if constexpr (std::is_pointer_v<std::tuple_element_t<1, Args>>)
        if (starts_with(name, "vkDestroy") || starts_with(name, "vkFree")) return std::get<1>(args) != VK_NULL_HANDLE ? -1 : 0;
    }
    return 0;
  }

  static void note_instance(VkInstance instance) { active->instance_ = instance; }
  static void note_device(VkDevice device) { active->device_ = device; }
  static PFN_vkVoidFunction real(VkInstance instance, const char* name) { return active->real_(instance, name); }
  static VkInstance instance() { return active->instance_; }
  static void add_objects(Call call, int64_t count) { active->add_objects(kCallNames[static_cast<size_t>(call)], count); }

  template <Call kCall, class Args>
  static void after(const Args& args) {
    if constexpr (kCall == Call::CreateInstance) note_instance(*std::get<2>(args));
    if constexpr (kCall == Call::CreateDevice) note_device(*std::get<3>(args));
    if constexpr (kCall == Call::GetPhysicalDeviceFeatures2) edit_chain(active->edit_features, std::get<1>(args));
    if constexpr (kCall == Call::GetPhysicalDeviceProperties2) edit_chain(active->edit_properties, std::get<1>(args));
    if constexpr (kCall == Call::GetPhysicalDeviceProperties) {
      VkPhysicalDeviceProperties2 head{};
      head.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
      head.properties = *std::get<1>(args);
      edit_chain(active->edit_properties, &head);
      *std::get<1>(args) = head.properties;
    }
    if constexpr (kCall == Call::GetPhysicalDeviceMemoryProperties)
      if (active->edit_memory) active->edit_memory(*std::get<1>(args));
    if constexpr (kCall == Call::GetPhysicalDeviceMemoryProperties2)
      if (active->edit_memory) active->edit_memory(std::get<1>(args)->memoryProperties);
    if constexpr (kCall == Call::GetPhysicalDeviceQueueFamilyProperties)
      if (active->edit_queue_family && std::get<2>(args) != nullptr)
        for (uint32_t i = 0; i < *std::get<1>(args); ++i) active->edit_queue_family(std::get<2>(args)[i]);
  }

  template <Call kCall, class Function, class... Args>
  static auto make(Function function, Args... args) {
    if constexpr (kCall == Call::EnumerateInstanceExtensionProperties || kCall == Call::EnumerateDeviceExtensionProperties) {
      const auto all = std::tuple(args...);
      constexpr size_t kLast = sizeof...(Args) - 1;
      const auto query = [&](uint32_t* count, VkExtensionProperties* out) {
        if constexpr (kLast == 2) return function(std::get<0>(all), count, out);
        else return function(std::get<0>(all), std::get<1>(all), count, out);
      };
      return enumerate_without<VkExtensionProperties>(query, [](const VkExtensionProperties& item) { return std::string(item.extensionName); },
                                                      active->hidden_extensions, std::get<kLast - 1>(all), std::get<kLast>(all));
    } else if constexpr (kCall == Call::EnumerateInstanceLayerProperties) {
      const auto all = std::tuple(args...);
      return enumerate_without<VkLayerProperties>(function, [](const VkLayerProperties& item) { return std::string(item.layerName); },
                                                  active->hidden_layers, std::get<0>(all), std::get<1>(all));
    } else if constexpr (kCall == Call::GetDeviceProcAddr) {
      const auto all = std::tuple(args...);
      note_device(std::get<0>(all));
      if (function(args...) == nullptr) return PFN_vkVoidFunction{nullptr};
      // The instance's entry points find the device by themselves, so that one table serves several devices.
      const PFN_vkVoidFunction wrapped = wrap(std::get<1>(all));
      return wrapped != nullptr ? wrapped : function(args...);
    } else {
      return function(args...);
    }
  }
};

namespace {

template <Call kCall, class Function>
struct Wrapper;

template <Call kCall, class Answer, class... Args>
struct Wrapper<kCall, Answer(VKAPI_PTR*)(Args...)> {
  static VKAPI_ATTR Answer VKAPI_CALL call(Args... args) {
    const auto function = reinterpret_cast<Answer(VKAPI_PTR*)(Args...)>(real_functions[static_cast<size_t>(kCall)]);
    constexpr bool kReturnsResult = std::is_same_v<Answer, VkResult>;
    const std::optional<VkResult> forced = ShimCalls::before(kCall, kReturnsResult);
    const std::tuple<Args...> all(args...);
    if constexpr (kReturnsResult) {
      if (forced) return *forced;
      const VkResult result = ShimCalls::make<kCall>(function, args...);
      if (result != VK_SUCCESS) return result;
      ShimCalls::add_objects(kCall, ShimCalls::object_change<kCall>(all));
      ShimCalls::after<kCall>(all);
      return result;
    } else if constexpr (std::is_void_v<Answer>) {
      ShimCalls::make<kCall>(function, args...);
      ShimCalls::add_objects(kCall, ShimCalls::object_change<kCall>(all));
      ShimCalls::after<kCall>(all);
    } else {
      return ShimCalls::make<kCall>(function, args...);
    }
  }
};

/// The wrapper of an entry point the shim knows, or null.
PFN_vkVoidFunction wrap(const char* name) {
#define CASE(function)                                                                                                       \
  if (std::strcmp(name, "vk" #function) == 0) {                                                                              \
    constexpr bool kGlobal = Call::function <= Call::EnumerateInstanceVersion;                                               \
    const PFN_vkVoidFunction found = ShimCalls::real(kGlobal ? VK_NULL_HANDLE : ShimCalls::instance(), name);                \
    if (found == nullptr) return nullptr;                                                                                    \
    real_functions[static_cast<size_t>(Call::function)] = found;                                                             \
    return reinterpret_cast<PFN_vkVoidFunction>(&Wrapper<Call::function, PFN_vk##function>::call);                           \
  }
  QUIRE_SHIM_FUNCTIONS(CASE)
#undef CASE
  return nullptr;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL shim_get_instance_proc_addr(VkInstance instance, const char* name) {
  if (std::strcmp(name, "vkGetInstanceProcAddr") == 0) return reinterpret_cast<PFN_vkVoidFunction>(&shim_get_instance_proc_addr);
  if (instance != VK_NULL_HANDLE) ShimCalls::note_instance(instance);
  const PFN_vkVoidFunction wrapped = wrap(name);
  return wrapped != nullptr ? wrapped : ShimCalls::real(instance, name);
}

}  // namespace

VulkanShim::VulkanShim() {
  library_ = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library_ != nullptr) real_ = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library_, "vkGetInstanceProcAddr"));
  active = this;
}

VulkanShim::~VulkanShim() {
  active = nullptr;
  if (library_ != nullptr) dlclose(library_);
}

void* VulkanShim::entry() const { return reinterpret_cast<void*>(&shim_get_instance_proc_addr); }

void VulkanShim::fail(const Failure& failure) {
  failure_ = failure;
  failed_call_.clear();
}

std::optional<VkResult> VulkanShim::before(const char* name, bool device_level, bool returns_result) {
  ++calls_[name];
  const bool fallible = device_level && returns_result;
  if (fallible) ++fallible_calls_;
  if (!failure_ || !returns_result) return std::nullopt;
  if (failure_->function.empty() ? !fallible : failure_->function != name) return std::nullopt;
  if (failure_->call > 1) {
    --failure_->call;
    return std::nullopt;
  }
  const VkResult result = failure_->result;
  if (failed_call_.empty()) failed_call_ = name;
  if (!failure_->for_ever) failure_.reset();
  if (result == VK_ERROR_DEVICE_LOST && device_ != VK_NULL_HANDLE) {
    // The driver knows nothing of the loss: nothing may still run when the library destroys what it thinks is dead.
    const auto wait_idle = reinterpret_cast<PFN_vkDeviceWaitIdle>(real_(instance_, "vkDeviceWaitIdle"));
    if (wait_idle != nullptr) wait_idle(device_);
  }
  return result;
}

void VulkanShim::add_objects(const char* name, int64_t count) {
  if (count == 0) return;
  live_[object_kind(name)] += count;
  if (std::strcmp(name, "vkDestroyDevice") == 0) device_ = VK_NULL_HANDLE;
}

uint64_t VulkanShim::calls(const std::string& function) const {
  const auto found = calls_.find(function);
  return found == calls_.end() ? 0 : found->second;
}

std::map<std::string, int64_t> VulkanShim::live_objects() const {
  std::map<std::string, int64_t> live;
  for (const auto& [kind, count] : live_)
    if (count != 0) live[kind] = count;
  return live;
}

std::string VulkanShim::describe_live_objects() const {
  std::string text;
  for (const auto& [kind, count] : live_objects()) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + kind;
  return text.empty() ? "none" : text;
}

}  // namespace quire::test
