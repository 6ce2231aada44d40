// persistent_step: what it carries out has the bits of a dispatch a kernel, on Vulkan, and agrees with the reference, which runs its operations in order.
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <functional>
#include <string>

#include "tests/conformance/support/attention_case.hpp"
#include "tests/conformance/support/attention_runs.hpp"
#include "tests/conformance/support/column_runs.hpp"

namespace quire::conformance {
namespace {

/// Both devices run cases as a persistent_step while it lives.
class PersistentScope {
 public:
  explicit PersistentScope(uint32_t workers) { set(workers); }
  ~PersistentScope() { set(0); }
  PersistentScope(const PersistentScope&) = delete;
  PersistentScope& operator=(const PersistentScope&) = delete;

 private:
  static void set(uint32_t workers) {
    test_devices().reference.set_persistent_workers(workers);
    test_devices().vulkan.set_persistent_workers(workers);
  }
};

/// Without subgroups of exactly the kernels' lanes there is no such kernel; then the case is that it is refused.
bool device_has_it() {
  const Limits& limits = test_devices().vulkan.device().limits();
  return limits.subgroup_broadcast && limits.subgroup_size == test_devices().vulkan.variants().lanes;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

using OnDevice = std::function<Outcome(TestDevice&)>;

/// Alone, by one worker and by three: the same bits. And near the reference's.
void check_case(const OnDevice& on_device, double tolerance) {
  count_case(KernelId::persistent_step);
  const Outcome alone = on_device(test_devices().vulkan);
  REQUIRE_MESSAGE(alone.failure.empty(), "alone: ", alone.failure);
  for (const uint32_t workers : {1u, 3u}) {
    CAPTURE(workers);
    const PersistentScope scope(workers);
    const Outcome persistent = on_device(test_devices().vulkan);
    if (!device_has_it()) {
      CHECK(!persistent.failure.empty());
      return;
    }
    REQUIRE_MESSAGE(persistent.failure.empty(), "persistent: ", persistent.failure);
    CHECK(same_bits(alone.values, persistent.values));
    const Outcome expected = on_device(test_devices().reference);
    REQUIRE_MESSAGE(expected.failure.empty(), "reference: ", expected.failure);
    const std::string difference = differing_floats(expected.values, persistent.values, [&](uint32_t) -> Tolerance { return {tolerance, false}; });
    CHECK_MESSAGE(difference.empty(), difference);
  }
}

/// This kernel takes the driver's compiler the longest. So in the full extent all weight types meet all of its ways; else every third does, and the rest are
/// weights of a product that all lanes load together.
bool in_all_ways(size_t index_of_type) { return extent() == Extent::full || index_of_type % 3 == 0; }

TEST_CASE("persistent_step: matmul_few and embed_rows of every weight type") {
  const std::vector<WeightType> types = types_of_run();
  for (size_t i = 0; i < types.size(); ++i) {
    const WeightType type = types[i];
    CAPTURE(weight_type_name(type));
    Random random(0x9e55 + static_cast<uint32_t>(type));
    const uint32_t width = weight_type_info(type).file_block_elements == 256 ? 512 : 352;
    MatmulCase matmul;
    matmul.matrix = make_matrix(random, Values::exact, {type}, 203, width);
    matmul.columns = plain_columns(1, 1);
    matmul.dst_width = 203;
    matmul.src = random_values(random, Values::exact, width);
    matmul.bias = random_values(random, Values::exact, 203);
    matmul.residual = random_values(random, Values::exact, 203);
    VariantSet variants = test_devices().chosen;
    for (const uint32_t lanes_per_load : {1u, variants.lanes}) {
      if (lanes_per_load == 1 && !in_all_ways(i)) continue;
      CAPTURE(lanes_per_load);
      variants.lanes_per_load = lanes_per_load;
      const VariantScope scope(variants);
      check_case([&](TestDevice& device) { return run_matmul(device, matmul); }, 0);
    }
    if (!in_all_ways(i)) continue;
    EmbedCase embed{make_matrix(random, Values::exact, {type}, 37, width), plain_columns(1, 1), 1, 0.5f};
    embed.columns[0].token = 29;
    check_case([&](TestDevice& device) { return run_embed(device, embed); }, 0);
  }
}

TEST_CASE("persistent_step: a gated product in one dispatch and in two") {
  Random random(0x9a7e);
  GatedMatmulCase gated;
  gated.matrix = make_matrix(random, Values::ordinary, {WeightType::q4_1}, 2 * 13 * test_devices().chosen.lanes, 352);
  gated.columns = plain_columns(1, 1);
  gated.src = random_values(random, Values::ordinary, 352);
  for (float& x : gated.src) x *= 0.05f;
  gated.bias = random_values(random, Values::ordinary, gated.matrix.rows);
  for (const GateFunction function : {GateFunction::silu, GateFunction::gelu})
    for (const GateSteps steps : {GateSteps::one, GateSteps::two}) {
      gated.function = function;
      check_case([&](TestDevice& device) { return run_gated_matmul(device, gated, steps); }, 1e-4);
    }
}

TEST_CASE("persistent_step: norms, gated_activation and gather_columns of one and of several columns") {
  Random random(0x0e1e);
  for (const uint32_t columns : {1u, 3u}) {
    CAPTURE(columns);
    const NormCase norm{577, 1, plain_columns(columns, 1), random_values(random, Values::ordinary, 577 * columns), random_values(random, Values::ordinary, 577),
                        random_values(random, Values::ordinary, 577 * columns)};
    {
      INFO("rms_norm");
      check_case([&](TestDevice& device) { return run_norm(device, norm); }, 1e-5);
    }
    HeadNormCase heads;
    heads.shape = {{1, 2, 64, 64, 16}, 0, 6, 0, 0.125f};
    heads.columns = plain_columns(columns, 1);
    heads.qkv = random_values(random, Values::ordinary, uint64_t{heads.width()} * columns);
    heads.query_weight = random_values(random, Values::ordinary, 64);
    heads.key_weight = random_values(random, Values::ordinary, 64);
    {
      INFO("head_norm");
      check_case([&](TestDevice& device) { return run_head_norm(device, heads); }, 1e-5);
    }
    const GatedCase gated{GateFunction::gelu, 333, 1, plain_columns(columns, 1), random_values(random, Values::ordinary, 666 * columns)};
    {
      INFO("gated_activation");
      check_case([&](TestDevice& device) { return run_gated(device, gated); }, 1e-5);
    }
    const GatherCase gather{130, 1, 4, random_values(random, Values::ordinary, 520), std::vector<uint32_t>(columns, 2)};
    {
      INFO("gather_columns");
      check_case([&](TestDevice& device) { return run_gather(device, gather); }, 0);
    }
  }
}

TEST_CASE("persistent_step: attend_decode, and attend_merge waiting for it") {
  for (const uint32_t history : {0u, 15u, 16u, 300u})
    for (const HeadDims dims : {HeadDims{64, 64}, HeadDims{40, 40}, HeadDims{256, 256}}) {
      AttentionCase c;
      c.shape = {{2, 2, dims.k, dims.v, 16}, 1, 6, history == 300 ? 200u : 0u, 1 / std::sqrt(static_cast<float>(dims.k))};
      c.sequences = {{history, 1}, {3, 1}};
      c.seed = 0x9e55 + history;
      prepare(c);
      CAPTURE(history);
      CAPTURE(dims.k);
      const uint32_t splits = case_split_count(c, test_devices().vulkan.variants());
      VariantSet variants = test_devices().chosen;
      for (const uint32_t lanes_per_load : {1u, variants.lanes}) {
        CAPTURE(lanes_per_load);
        variants.lanes_per_load = lanes_per_load;
        const VariantScope scope(variants);
        check_case([&](TestDevice& device) { return run_decode_and_merge(device, c, splits); }, c.tolerance());
      }
    }
}

}  // namespace
}  // namespace quire::conformance
