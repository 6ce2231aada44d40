// The element types that a GGUF tensor can have: number, name, block. Every known type is here, so that refusals can name it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace quire {

/// Numbers as in the file. Numbers missing here are types that were removed from the format.
enum class GgmlType : uint32_t {
  f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q5_0 = 6, q5_1 = 7, q8_0 = 8, q8_1 = 9,
  q2_k = 10, q3_k = 11, q4_k = 12, q5_k = 13, q6_k = 14, q8_k = 15,
  iq2_xxs = 16, iq2_xs = 17, iq3_xxs = 18, iq1_s = 19, iq4_nl = 20, iq3_s = 21, iq2_s = 22, iq4_xs = 23,
  i8 = 24, i16 = 25, i32 = 26, i64 = 27, f64 = 28, iq1_m = 29, bf16 = 30, tq1_0 = 34, tq2_0 = 35, mxfp4 = 39,
};

struct GgmlTypeInfo {
  GgmlType type;
  std::string_view name;     ///< as llama.cpp prints it: "Q4_1", "F32"
  uint32_t block_elements;
  uint32_t block_bytes;
};

std::span<const GgmlTypeInfo> ggml_types();
/// Null for a number that names no type.
const GgmlTypeInfo* find_ggml_type(uint32_t number);
std::string_view ggml_type_name(GgmlType type);

}  // namespace quire
