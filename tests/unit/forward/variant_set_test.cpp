// Choices stay within any device's limits and depend on limits alone.
#include <doctest/doctest.h>

#include "engine/forward/variant_set.hpp"

using namespace quire;

TEST_CASE("variant_set: every workgroup fits Vulkan's minimum limits, whatever the subgroup width") {
  for (const bool host_visible : {false, true})
    for (const uint32_t subgroup : {1u, 4u, 8u, 16u, 32u, 64u, 128u}) {
      CAPTURE(subgroup);
      Limits limits;
      limits.host_visible_device_memory = limits.on_processor = host_visible;
      limits.subgroup_size = subgroup;
      const VariantSet v = choose_variants(limits);
      CAPTURE(v.describe());
      CHECK(v.lanes * v.many_k_parts <= limits.max_workgroup_invocations);
      CHECK(v.lanes * v.few_k_parts <= limits.max_workgroup_invocations);
      CHECK(v.lanes * v.few_k_parts >= v.lanes);
      for (const uint32_t workgroup : {v.norm_workgroup, v.attend_prefill_workgroup, v.attend_decode_workgroup, v.elementwise_workgroup, v.search_workgroup}) {
        CHECK(workgroup >= 1);
        CHECK(workgroup <= limits.max_workgroup_invocations);
      }
      CHECK(v.many_column_tile % v.attend_prefill_workgroup == 0);
      // Shared memory of the kernels that take most: partial sums of matmul_few, and eight heads' scores of attend_decode.
      CHECK(4 * v.lanes * v.few_k_parts * v.few_max_columns * v.few_tiles_per_lane * (v.few_k_parts > 1 ? 1 : 0) <= limits.max_shared_bytes);
      CHECK(4 * 8 * (v.split_slots + 2 * v.attend_decode_workgroup) <= limits.max_shared_bytes);
    }
}

TEST_CASE("variant_set: on a processor a weight tile is as high as a subgroup is wide, and at least the words of a cache line") {
  Limits limits;
  limits.host_visible_device_memory = limits.on_processor = true;
  for (const uint32_t subgroup : {4u, 8u, 16u}) {
    limits.subgroup_size = subgroup;
    CHECK(choose_variants(limits).lanes == subgroup);
    CHECK(choose_variants(limits).tile_rows == 16);
    CHECK(choose_variants(limits).few_k_parts == 1);
  }
}

TEST_CASE("variant_set: an integrated GPU with narrow subgroups is no processor") {
  Limits limits;
  limits.host_visible_device_memory = true;
  limits.subgroup_size = 16;
  const VariantSet integrated = choose_variants(limits);
  limits.host_visible_device_memory = false;
  CHECK(integrated.describe() == choose_variants(limits).describe());
  CHECK(integrated.few_k_parts > 1);
}

TEST_CASE("variant_set: a GPU with cooperative matrices multiplies with them if a workgroup has the room, a processor never") {
  Limits limits;
  limits.subgroup_size = 32;
  limits.max_shared_bytes = 32768;
  limits.cooperative_shape = {16, 16, 16};
  const VariantSet v = choose_variants(limits);
  CHECK(v.cooperative_shape.products() == 16 * 16 * 16);
  CHECK(v.cooperative_subgroup == 32);
  CHECK(v.describe().find("cooperative matrices of 16 x 16 x 16") != std::string::npos);
  for (const auto change : {+[](Limits& l) { l.max_shared_bytes = 16384; }, +[](Limits& l) { l.subgroup_size = 64; }, +[](Limits& l) { l.cooperative_shape = {}; },
                            +[](Limits& l) { l.host_visible_device_memory = l.on_processor = true, l.subgroup_size = 8; }}) {
    Limits changed = limits;
    change(changed);
    CHECK(choose_variants(changed).cooperative_shape.rows == 0);
  }
}
