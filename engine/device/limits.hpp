// Everything the engine may ask about a device, in one struct, so that a test can lower any of it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace quire {

enum class BackendKind : uint8_t { reference, vulkan, cuda, null_device };
enum class DeviceType : uint8_t { discrete, integrated, virtual_gpu, cpu, other };

/// How weights lie in device memory (engine/forward/weight_layout.hpp).
enum class WeightLayout : uint8_t {
  file_blocks,  ///< as in the model file, row after row: the reference backend
  lane_tiles,   ///< tiles of `lanes` rows, one row a lane: every GPU
};

/// A multiplication of f16 matrices that sums in f32: rows x depth by depth x columns, each 8 or 16.
struct MatrixShape {
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint32_t depth = 0;
  constexpr uint32_t products() const { return rows * columns * depth; }
};

struct Limits {
  uint32_t max_workgroup_invocations = 128;                  ///< Vulkan's minimum
  std::array<uint32_t, 3> max_workgroup_count = {65535, 65535, 65535};
  uint32_t max_shared_bytes = 16384;
  uint32_t max_push_constant_bytes = 128;
  uint64_t max_buffer_bytes = uint64_t{1} << 30;             ///< largest single Buffer
  uint64_t max_device_bytes = 0;                             ///< size of the heap that device buffers come from; 0: unknown
  uint32_t max_buffer_count = 4096;                          ///< buffers that may exist at once
  uint32_t subgroup_size = 1;                                ///< native width, in lanes; 1 where there are no subgroups
  bool subgroup_arithmetic = false;
  bool subgroup_broadcast = false;                           ///< lanes read each other's values, and every subgroup has exactly subgroup_size lanes
  bool float16_arithmetic = false;
  bool integer_dot_product = false;
  bool cooperative_matrix = false;
  MatrixShape cooperative_shape;                             ///< the largest that a subgroup multiplies; zeros: none, or no kernel for it was built
  bool memory_budget = false;
  bool host_visible_device_memory = false;                   ///< device buffers can be mapped
  bool on_processor = false;                                 ///< the driver computes on the host's processor
  uint64_t submission_macs = UINT64_MAX;                     ///< multiply-accumulates that fit the submission bound, as estimated before any was measured
  WeightLayout weight_layout = WeightLayout::lane_tiles;
};

struct DeviceInfo {
  BackendKind backend = BackendKind::null_device;
  DeviceType type = DeviceType::other;
  std::string name;
  std::string driver;                 ///< name and version, as the driver gives them
  std::string api_version;            ///< e.g. "1.4.305"
  std::array<uint8_t, 16> uuid{};
  uint32_t vendor_id = 0;
  uint32_t device_id = 0;
  bool usable = false;                ///< false: `refusal` says why
  std::string refusal;
  Limits limits;
};

}  // namespace quire
