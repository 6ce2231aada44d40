// Every kernel's name, argument struct, address fields and specialization constants. One name runs through this table, the shader file
// (shaders/NAME.comp), the argument struct, the recording function, the GPU timestamp label, the reference twin and the conformance case.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace quire {

/// Weight types, with the values of `ggml_type` in the GGUF specification.
enum class WeightType : uint8_t { f32 = 0, f16 = 1, q4_1 = 3, q8_0 = 8, none = 255 };

enum class KernelId : uint8_t {
  embed_rows,
  rms_norm,
  matmul_many,
  matmul_few,
  rope_page_write,
  attend_prefill,
  attend_decode,
  attend_merge,
  swiglu,
  gather_columns,
  argmax,
  top_k,
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
inline constexpr uint32_t kMaxSpecConstants = 6;

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
