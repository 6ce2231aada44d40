// Every kernel's name, argument struct, address fields and specialization constants. One name runs through this table, the shader file
// (shaders/NAME.comp), the argument struct, the recording function, the GPU timestamp label, the reference twin and the conformance case.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "shaders/interface/weight_tiles.h"

namespace quire {

/// Weight types, with the values of `ggml_type` in the GGUF specification.
enum class WeightType : uint8_t {
  f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q5_0 = 6, q5_1 = 7, q8_0 = 8, q2_k = 10, q3_k = 11, q4_k = 12, q5_k = 13, q6_k = 14,
  iq4_nl = 20, iq4_xs = 23, bf16 = 30, none = 255,
};

/// What kernels and the upload know about a weight type; what its bits mean is in shaders/weights/NAME.glsl and in the reference's weight_blocks.cpp.
struct WeightTypeInfo {
  WeightType type = WeightType::none;
  std::string_view name;
  uint32_t file_block_elements = 0;  ///< a row's width in the file is a multiple of it
  WeightBlock block;                 ///< of lane tiles: the file's block, or several where that is a single weight
  uint32_t group_elements = 0;       ///< weights that a kernel unpacks together (shaders/weights/weights.glsl); divides block.elements

  /// Its weights are codes with a scale for some neighbouring ones, as matmul_int8 needs them.
  constexpr bool has_scales() const { return file_block_elements > 1; }
  constexpr uint32_t file_block_bytes() const { return (4 * block.words + 2 * block.halves) / (block.elements / file_block_elements); }
};

enum class KernelId : uint8_t {
  embed_rows,
  rms_norm,
  head_norm,
  quantize_columns,
  matmul_many,
  matmul_int8,
  matmul_cooperative,
  matmul_few,
  rope_page_write,
  attend_prefill,
  attend_decode,
  attend_merge,
  gated_activation,
  gather_columns,
  argmax,
  sample,
  persistent_step,
  count,
};
inline constexpr uint32_t kKernelCount = static_cast<uint32_t>(KernelId::count);

enum class AccessMode : uint8_t { read, write, read_write };

/// A 64-bit address inside an argument struct, filled by the encoder from the dispatch's binding of the same index.
struct AddressField {
  std::string_view name;
  uint16_t offset_bytes = 0;
  AccessMode mode = AccessMode::read;
  bool optional = false;  ///< an empty binding becomes address 0
};

inline constexpr uint32_t kMaxAddressFields = 6;
inline constexpr uint32_t kMaxSpecConstants = 16;

struct KernelInfo {
  KernelId id{};
  std::string_view name;
  uint16_t args_bytes = 0;
  std::span<const AddressField> addresses;               ///< in the order of the struct's fields, which start with them
  std::span<const std::string_view> spec_constants;      ///< constant_id 0, 1, ...; id 0 is always the workgroup size (local_size_x)
  std::span<const WeightType> weight_types;              ///< variants compiled; empty: one variant, WeightType::none
};

/// Requires: id < KernelId::count.
const KernelInfo& kernel_info(KernelId id);
/// Every weight type, in the order of the file format's numbers.
std::span<const WeightTypeInfo> weight_types();
/// Of none, and of a number that is no weight type: the row of none, whose blocks have no bytes.
const WeightTypeInfo& weight_type_info(WeightType type);
std::string_view weight_type_name(WeightType type);
std::optional<WeightType> weight_type_from_ggml(uint32_t ggml_type);

/// A kernel with every compile-time choice made: what a pipeline is created from.
struct KernelVariant {
  KernelId id{};
  WeightType weight = WeightType::none;
  std::array<uint32_t, kMaxSpecConstants> spec{};  ///< values of the manifest's spec_constants; the rest 0
  auto operator<=>(const KernelVariant&) const = default;
};

}  // namespace quire
