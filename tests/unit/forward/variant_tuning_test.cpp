// Timing picks among candidates that fit the device and change no bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "engine/forward/kernels.hpp"
#include "engine/forward/variant_tuning.hpp"
#include "engine/forward/weight_layout.hpp"
#include "tests/conformance/support/values.hpp"
#include "tests/support/vulkan_fixture.hpp"

using namespace quire;

namespace {

constexpr uint32_t kRows = 333;
constexpr uint32_t kWidth = 512;

/// W x of made-up values. Weights lie as a model's do: by the defaults, which the tile height is part of.
std::vector<float> multiply(Device& device, const VariantSet& variants, WeightType type, uint32_t columns, uint32_t column_tile) {
  conformance::Random random(11);
  const std::vector<std::byte> rows = conformance::random_weight_rows(random, type, conformance::Values::ordinary, kRows, kWidth);
  const VariantSet defaults = choose_variants(device.limits());
  std::vector<std::byte> packed(packed_bytes(defaults.weight_layout, defaults.tile_rows, type, kRows, kWidth));
  pack_rows(defaults.weight_layout, defaults.tile_rows, type, kRows, kWidth, rows, packed);
  std::vector<float> x(size_t{kWidth} * columns);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 2654435761U % 2001) / 1000.0F - 1.0F;

  Buffer weights = std::move(device.create_buffer(packed.size(), BufferUse::device, "weights")).value();
  Buffer src = std::move(device.create_buffer(4 * x.size(), BufferUse::device, "source")).value();
  Buffer dst = std::move(device.create_buffer(Activation::bytes(kRows, columns), BufferUse::readback, "product")).value();
  Encoder encoder = device.encoder();
  REQUIRE(encoder.upload(weights.slice(), packed).ok());
  REQUIRE(encoder.upload(src.slice(), std::as_bytes(std::span(x))).ok());
  const WeightMatrix matrix{kRows, kWidth, {{type, weights.slice(), 0, kRows}}};
  const Status recorded = record_matmul({encoder, variants}, matrix, {src.slice(), kWidth, columns, column_tile}, {dst.slice(), kRows, columns, column_tile});
  REQUIRE_MESSAGE(recorded.ok(), (recorded.ok() ? std::string() : recorded.error().message));
  const Result<uint64_t> submitted = device.submit(std::move(encoder));
  REQUIRE_MESSAGE(submitted.ok(), (submitted.ok() ? std::string() : submitted.error().message));
  REQUIRE(device.wait(submitted.value(), std::chrono::seconds(60)).ok());
  std::vector<float> product(size_t{kRows} * columns);
  std::memcpy(product.data(), dst.mapped().data(), 4 * product.size());
  return product;
}

void hide_device_memory(DeviceOptions& options) {
  options.adjust_limits = [](Limits& limits) { limits.host_visible_device_memory = false; };
}

std::vector<VariantSet> every_candidate(const Device& device) {
  const VariantSet defaults = choose_variants(device.limits());
  std::vector<VariantSet> sets;
  VariantSet last_of_each = defaults;
  for (const TunedField& field : tuned_fields()) last_of_each.*field.value = tuning_candidates(field, defaults, device.limits()).back();
  sets.push_back(last_of_each);
  for (const TunedField& field : tuned_fields())
    for (const uint32_t value : tuning_candidates(field, defaults, device.limits())) {
      VariantSet variants = defaults;
      variants.*field.value = value;
      if (value != defaults.*field.value) sets.push_back(variants);
    }
  return sets;
}

}  // namespace

TEST_CASE("variant_tuning: candidates begin with the default, differ, and fit Vulkan's minimum limits") {
  for (const bool host_visible : {false, true})
    for (const uint32_t subgroup : {1U, 4U, 8U, 16U, 32U, 64U, 128U}) {
      Limits limits;
      limits.host_visible_device_memory = limits.on_processor = host_visible;
      limits.subgroup_size = subgroup;
      const VariantSet defaults = choose_variants(limits);
      for (const TunedField& field : tuned_fields()) {
        CAPTURE(field.name);
        CAPTURE(subgroup);
        const std::vector<uint32_t> candidates = tuning_candidates(field, defaults, limits);
        REQUIRE(!candidates.empty());
        CHECK(candidates[0] == defaults.*field.value);
        CHECK(std::set<uint32_t>(candidates.begin(), candidates.end()).size() == candidates.size());
        CHECK(*std::min_element(candidates.begin(), candidates.end()) >= 1);
      }
      uint32_t tiles = 0, columns = 0;
      for (const TunedField& field : tuned_fields())
        for (const uint32_t value : tuning_candidates(field, defaults, limits)) {
          if (field.value == &VariantSet::few_tiles_per_lane) tiles = std::max(tiles, value);
          if (field.value == &VariantSet::few_max_columns) columns = std::max(columns, value);
          if (field.value == &VariantSet::prompt_chunk) CHECK(value % defaults.many_column_tile == 0);
        }
      if (defaults.few_k_parts > 1) CHECK(4 * defaults.lanes * defaults.few_k_parts * tiles * columns <= limits.max_shared_bytes);
    }
}

TEST_CASE("variant_tuning: no candidate changes a bit of a product") {
  for (const bool like_gpu : {false, true}) {
    test::VulkanFixture fixture(like_gpu ? hide_device_memory : std::function<void(DeviceOptions&)>());
    Device& device = fixture.device();
    const VariantSet defaults = choose_variants(device.limits());
    for (const WeightType type : {WeightType::f32, WeightType::q4_1, WeightType::q3_k, WeightType::q6_k})
      for (const auto& [columns, tile] : {std::pair{1U, 1U}, {8U, 1U}, {2 * defaults.many_column_tile, defaults.many_column_tile}}) {
        const std::vector<float> expected = multiply(device, defaults, type, columns, tile);
        for (const VariantSet& variants : every_candidate(device)) {
          CAPTURE(variants.describe());
          CAPTURE(std::string(weight_type_name(type)));
          CAPTURE(columns);
          const std::vector<float> product = multiply(device, variants, type, columns, tile);
          CHECK(std::memcmp(product.data(), expected.data(), 4 * product.size()) == 0);
        }
      }
  }
}

TEST_CASE("variant_tuning: only tuned fields change, progress is counted, and the memory is given back") {
  test::VulkanFixture fixture;
  Device& device = fixture.device();
  const VariantSet defaults = choose_variants(device.limits());
  uint64_t last = 0, all = 0;
  bool ascends = true;
  const Result<TunedVariants> tuned = tune_variants(device, defaults, [&](uint64_t done, uint64_t total) {
    ascends = ascends && done > last && done <= total;
    last = done;
    all = total;
    return true;
  });
  REQUIRE_MESSAGE(tuned.ok(), (tuned.ok() ? std::string() : tuned.error().message));
  CHECK(ascends);
  CHECK(last > 0);
  CHECK(last <= all);
  VariantSet rest = tuned->variants;
  for (const TunedField& field : tuned_fields()) {
    const std::vector<uint32_t> candidates = tuning_candidates(field, defaults, device.limits());
    CHECK(std::find(candidates.begin(), candidates.end(), tuned->variants.*field.value) != candidates.end());
    rest.*field.value = defaults.*field.value;
  }
  CHECK(rest.describe() == defaults.describe());
  CHECK(device.memory().buffer_bytes == 0);

  uint32_t calls = 0;
  CHECK(tune_variants(device, defaults, [&](uint64_t, uint64_t) { return ++calls < 2; }).code() == Code::cancelled);
  CHECK(calls == 2);
  CHECK(device.memory().buffer_bytes == 0);
}

TEST_CASE("variant_tuning: a device of plain loops is not timed") {
  DeviceOptions options;
  options.backend = BackendKind::reference;
  Result<Device> device = Device::open(options);
  REQUIRE(device.ok());
  const VariantSet defaults = choose_variants(device->limits());
  const Result<TunedVariants> tuned = tune_variants(*device, defaults, [](uint64_t, uint64_t) { return false; });
  REQUIRE(tuned.ok());
  CHECK(tuned->finished);
  CHECK(tuned->variants.describe() == defaults.describe());
}
