#include "engine/forward/variant_set.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>

namespace quire {
namespace {

/// Shared memory of a matmul_cooperative workgroup: chunks of weights and of columns in f16, products of four subgroups in f32.
constexpr uint32_t kCooperativeSharedBytes = 2 * 64 * (64 + 8) * 2 + 4 * 16 * 16 * 4;

/// Where it counts a workgroup is one subgroup: an invocation is a SIMD lane, and a core runs workgroup after workgroup.
VariantSet cpu_variants(const Limits& limits) {
  VariantSet v;
  v.lanes = std::bit_floor(limits.subgroup_size);
  v.many_column_tile = 16;
  v.many_tiles_per_lane = 8;
  v.few_tiles_per_lane = 8;
  v.tile_rows = std::max(v.lanes, 16u);  // words of a cache line: a kernel reads each tile from its beginning to its end
  v.norm_workgroup = 32;
  v.attend_prefill_workgroup = std::min(v.lanes, v.many_column_tile);
  v.attend_decode_workgroup = v.lanes;
  v.elementwise_workgroup = 64;  // several subgroups: fewer workgroups to hand out
  v.search_workgroup = v.lanes;
  return v;
}

/// Several invocations share a row, so that narrow matrices fill the device.
VariantSet gpu_variants(const Limits& limits) {
  const uint32_t most = std::bit_floor(std::min(limits.max_workgroup_invocations, 128u));
  VariantSet v;
  v.lanes = std::clamp(std::bit_floor(std::max(limits.subgroup_size, 1u)), 16u, 64u);
  if (limits.subgroup_size <= 1) v.lanes = 32;
  v.tile_rows = v.lanes;
  v.few_k_parts = most / v.lanes;
  v.many_k_parts = 1;
  v.norm_workgroup = most;
  v.attend_decode_workgroup = std::min(64u, most);
  v.elementwise_workgroup = std::min(64u, most);
  v.search_workgroup = most;
  if (limits.cooperative_shape.rows != 0 && limits.max_shared_bytes >= kCooperativeSharedBytes && limits.max_workgroup_invocations >= 4 * limits.subgroup_size) {
    v.cooperative_shape = limits.cooperative_shape;
    v.cooperative_subgroup = limits.subgroup_size;
  }
  return v;
}

}  // namespace

bool computes_on_cpu(const Limits& limits) {
  return limits.on_processor && limits.host_visible_device_memory && limits.subgroup_size >= 4 && limits.subgroup_size <= 16;
}

VariantSet choose_variants(const Limits& limits) {
  VariantSet v = computes_on_cpu(limits) ? cpu_variants(limits) : gpu_variants(limits);
  v.weight_layout = limits.weight_layout;
  return v;
}

std::string VariantSet::describe() const {
  char text[512];
  std::snprintf(text, sizeof text,
                "lanes %u, %u a load, tiles of %u rows; many: %u columns, %u tiles %s, %u parts; few: up to %u columns, %u tiles, %u parts; norm %u; "
                "attend prefill %u, decode %u, splits of %u; elementwise %u; search %u; chunk %u",
                lanes, lanes_per_load, tile_rows, many_column_tile, many_tiles_per_lane, many_in_turn() ? "in turn" : "at once", many_k_parts, few_max_columns,
                few_tiles_per_lane, few_k_parts, norm_workgroup, attend_prefill_workgroup, attend_decode_workgroup, split_slots, elementwise_workgroup,
                search_workgroup, prompt_chunk);
  std::string described = text;
  if (cooperative_shape.rows != 0)
    described += "; many on cooperative matrices of " + std::to_string(cooperative_shape.rows) + " x " + std::to_string(cooperative_shape.columns) + " x " +
                 std::to_string(cooperative_shape.depth);
  if (many_arithmetic == Arithmetic::int8) described += "; many in 8-bit integers";
  return described;
}

}  // namespace quire
