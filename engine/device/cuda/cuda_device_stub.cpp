// The CUDA backend where it is not built: it links, and says so.
#include "engine/device/backend.hpp"

namespace quire {

Result<std::vector<DeviceInfo>> list_cuda_devices(const DeviceOptions&) {
  return make_error(Code::unsupported, "this build has no CUDA backend");
}

Result<std::unique_ptr<BackendDevice>> open_cuda_device(const DeviceOptions&) {
  return make_error(Code::unsupported, "this build has no CUDA backend");
}

}  // namespace quire
