// A vkGetInstanceProcAddr that stands between the library and the driver. It counts calls and live objects, makes chosen calls fail, loses the
// device, hides features and extensions, lowers limits, and notices a submit without the host's queue lock.
// One shim exists at a time; it must outlive everything opened through it. Calls may come from one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/device/vulkan/vulkan_extensions.hpp"

namespace quire::test {

class VulkanShim {
 public:
  struct Failure {
    std::string function;   ///< as "vkCreateBuffer"; empty: any call of a VkDevice that returns a VkResult (vkCreateDevice included)
    uint64_t call = 1;      ///< the first, second, ... such call from now on
    VkResult result = VK_ERROR_OUT_OF_HOST_MEMORY;
    bool for_ever = false;  ///< that call and all later ones
  };

  VulkanShim();
  VulkanShim(const VulkanShim&) = delete;
  VulkanShim& operator=(const VulkanShim&) = delete;
  ~VulkanShim();

  /// For DeviceOptions::get_instance_proc_addr and VulkanAdoption.
  void* entry() const;

  void fail(const Failure& failure);
  /// From the given fallible device call on, each answers VK_ERROR_DEVICE_LOST. Work that had been submitted is complete by then.
  void lose_device_at(uint64_t call) { fail({"", call, VK_ERROR_DEVICE_LOST, true}); }
  void stop_failing() { failure_.reset(); }
  /// The name of the first call that was made to fail since fail(); empty: none was.
  const std::string& failed_call() const { return failed_call_; }

  uint64_t calls(const std::string& function) const;
  /// Calls of a VkDevice so far that returned a VkResult and that fail() counts.
  uint64_t fallible_calls() const { return fallible_calls_; }
  /// Objects made and not yet destroyed, by kind: "Buffer", "Memory", "Pipeline"...; kinds without any are absent.
  std::map<std::string, int64_t> live_objects() const;
  std::string describe_live_objects() const;

  std::set<std::string> hidden_extensions;  ///< of instances and devices
  std::set<std::string> hidden_layers;
  /// Called with each struct of an answer's chain, the head included, after the driver filled it.
  std::function<void(VkBaseOutStructure*)> edit_features;
  std::function<void(VkBaseOutStructure*)> edit_properties;
  std::function<void(VkPhysicalDeviceMemoryProperties&)> edit_memory;
  std::function<void(VkQueueFamilyProperties&)> edit_queue_family;
  /// If set: submits while it points to false are counted.
  const bool* queue_locked = nullptr;
  uint64_t unlocked_submits = 0;

 private:
  friend struct ShimCalls;
  /// Counts the call; the result to answer instead of making it, if it is to fail.
  std::optional<VkResult> before(const char* name, bool device_level, bool returns_result);
  void add_objects(const char* name, int64_t count);

  void* library_ = nullptr;
  PFN_vkGetInstanceProcAddr real_ = nullptr;
  VkInstance instance_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  std::optional<Failure> failure_;
  std::string failed_call_;
  std::map<std::string, uint64_t> calls_;
  std::map<std::string, int64_t> live_;
  uint64_t fallible_calls_ = 0;
};

/// The struct of type `Struct` if `item` is one.
template <class Struct>
Struct* as(VkBaseOutStructure* item, VkStructureType type) {
  return item->sType == type ? reinterpret_cast<Struct*>(item) : nullptr;
}

}  // namespace quire::test
