// A VkDevice made as a host program makes its own, for adoption.
#pragma once

#include <string>
#include <vector>

#include "engine/device/vulkan/vulkan_functions.hpp"
#include "engine/device/vulkan_adoption.hpp"

namespace quire::test {

class HostDevice {
 public:
  /// Requires: `get_instance_proc_addr` outlives this object. `validation`: core and synchronization checks on.
  HostDevice(void* get_instance_proc_addr, bool validation);
  HostDevice(const HostDevice&) = delete;
  HostDevice& operator=(const HostDevice&) = delete;
  ~HostDevice();

  /// What a host tells the library; its lock is `locked`.
  VulkanAdoption adoption();

  /// A buffer with memory, for raw calls.
  struct RawBuffer {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
  };
  RawBuffer create_buffer(uint64_t bytes);
  void destroy(const RawBuffer& buffer);
  /// Records with `record`, submits under the lock and waits.
  template <class Record>
  void run(Record record) {
    const VkCommandBuffer commands = begin();
    record(vk, commands);
    submit_and_wait(commands);
  }
  /// Records and throws the recording away: for commands that must not run.
  template <class Record>
  void record_only(Record record) {
    const VkCommandBuffer commands = begin();
    record(vk, commands);
    discard(commands);
  }

  DeviceFunctions vk;
  bool locked = false;
  uint64_t lock_count = 0;
  std::vector<std::string> messages;

 private:
  VkCommandBuffer begin();
  void submit_and_wait(VkCommandBuffer commands);
  void discard(VkCommandBuffer commands);

  void* get_instance_proc_addr_;
  InstanceFunctions instance_functions_;
  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VkCommandPool pool_ = VK_NULL_HANDLE;
};

}  // namespace quire::test
