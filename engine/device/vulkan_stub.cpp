#include "engine/device/backend.hpp"

namespace quire {

Result<std::vector<DeviceInfo>> list_vulkan_devices(const DeviceOptions&) {
  return make_error(Code::unsupported, "this build has no Vulkan backend");
}

Result<std::unique_ptr<BackendDevice>> open_vulkan_device(const DeviceOptions&) {
  return make_error(Code::unsupported, "this build has no Vulkan backend");
}

}  // namespace quire
