#include "engine/forward/kernel_recording.hpp"

#include "engine/forward/weight_layout.hpp"

namespace quire {
namespace {

constexpr uint64_t kActivationAlignment = 16;  // kernels read four floats at a time
constexpr uint64_t kMaxGridSize = 65535;       // Vulkan's minimum of maxComputeWorkGroupCount

unsigned long long number(uint64_t value) { return value; }

}  // namespace

Result<BufferSlice> first_bytes(BufferSlice slice, uint64_t bytes, const char* what) {
  if (slice.size_bytes < bytes)
    return make_error(Code::invalid_argument, "%s needs %llu bytes, its slice has %llu", what, number(bytes), number(slice.size_bytes));
  slice.size_bytes = bytes;
  return slice;
}

Result<BufferSlice> activation_slice(const Activation& activation, const char* what) {
  if (activation.width == 0 || activation.column_count == 0)
    return make_error(Code::invalid_argument, "%s is empty: %u wide, %u columns", what, activation.width, activation.column_count);
  if (activation.column_tile == 0 || activation.column_count % activation.column_tile != 0)
    return make_error(Code::invalid_argument, "%s has %u columns, no multiple of its tile of %u", what, activation.column_count, activation.column_tile);
  if (activation.slice.offset_bytes % kActivationAlignment != 0)
    return make_error(Code::invalid_argument, "%s starts at byte %llu, no multiple of %llu", what, number(activation.slice.offset_bytes),
                      number(kActivationAlignment));
  const uint64_t bytes = Activation::bytes(activation.width, activation.column_count);
  if (bytes > kMostAddressedBytes)
    return make_error(Code::invalid_argument, "%s has %llu bytes, more than kernels address from its start", what, number(bytes));
  return first_bytes(activation.slice, bytes, what);
}

Status expect_equal(uint64_t value, uint64_t expected, const char* what) {
  if (value == expected) return {};
  return make_error(Code::invalid_argument, "%s is %llu where %llu is needed", what, number(value), number(expected));
}

Status check_attention_shape(const AttentionShape& shape) {
  const PageShape& page = shape.page;
  if (page.kv_heads == 0 || shape.q_heads == 0 || shape.q_heads % page.kv_heads != 0)
    return make_error(Code::invalid_argument, "%u query heads cannot share %u key/value heads", shape.q_heads, page.kv_heads);
  if (page.k_dim == 0 || page.v_dim == 0 || page.k_dim % 8 != 0 || page.v_dim % 8 != 0)
    return make_error(Code::invalid_argument, "head sizes %u (K) and %u (V) must be multiples of 8", page.k_dim, page.v_dim);
  if (page.tokens == 0) return make_error(Code::invalid_argument, "a page of 0 slots holds nothing");
  if (shape.layer >= page.layers)
    return make_error(Code::invalid_argument, "layer %u is not among the %u layers of its cache group", shape.layer, page.layers);
  return {};
}

std::array<uint32_t, 3> linear_grid(uint64_t count, uint32_t z) {
  const uint64_t rows = ceil_div(count, kMaxGridSize);
  if (rows <= 1) return {static_cast<uint32_t>(count), 1, z};
  return {static_cast<uint32_t>(ceil_div(count, rows)), static_cast<uint32_t>(rows), z};
}

}  // namespace quire
