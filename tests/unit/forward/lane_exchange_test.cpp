// Kernels that hand values round a subgroup , or load for all its lanes at once, give the bits of those that load in every lane.
#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/forward/kernels.hpp"
#include "engine/forward/weight_layout.hpp"
#include "tests/conformance/support/values.hpp"
#include "tests/support/vulkan_fixture.hpp"

using namespace quire;

namespace {

constexpr uint32_t kSeed = 7;
constexpr uint32_t kRows = 75;
constexpr uint32_t kWidth = 512;

struct Case {
  WeightType type;
  uint32_t columns;
  uint32_t column_tile;
};

std::vector<float> multiply(Device& device, const Case& c, bool load_together = false) {
  std::mt19937 random(kSeed);
  VariantSet variants = choose_variants(device.limits());
  if (load_together) variants.lanes_per_load = variants.lanes;
  conformance::Random weight_random(kSeed);
  const std::vector<std::byte> rows = conformance::random_weight_rows(weight_random, c.type, conformance::Values::ordinary, kRows, kWidth);
  std::vector<std::byte> packed(packed_bytes(variants.weight_layout, variants.tile_rows, c.type, kRows, kWidth));
  pack_rows(variants.weight_layout, variants.tile_rows, c.type, kRows, kWidth, rows, packed);
  std::vector<float> x(size_t{kWidth} * c.columns);
  for (float& value : x) value = static_cast<float>(random() % 2001) / 1000.0F - 1.0F;

  Buffer weights = std::move(device.create_buffer(packed.size(), BufferUse::device, "weights")).value();
  Buffer src = std::move(device.create_buffer(4 * x.size(), BufferUse::device, "source")).value();
  Buffer dst = std::move(device.create_buffer(Activation::bytes(kRows, c.columns), BufferUse::readback, "product")).value();
  Encoder encoder = device.encoder();
  REQUIRE(encoder.upload(weights.slice(), packed).ok());
  REQUIRE(encoder.upload(src.slice(), std::as_bytes(std::span(x))).ok());
  const WeightMatrix matrix{kRows, kWidth, {{c.type, weights.slice(), 0, kRows}}};
  const Status recorded = record_matmul({encoder, variants}, matrix, {src.slice(), kWidth, c.columns, c.column_tile},
                                        {dst.slice(), kRows, c.columns, c.column_tile});
  REQUIRE_MESSAGE(recorded.ok(), (recorded.ok() ? std::string() : recorded.error().message));
  const Result<uint64_t> submitted = device.submit(std::move(encoder));
  REQUIRE(submitted.ok());
  REQUIRE(device.wait(submitted.value(), std::chrono::seconds(60)).ok());
  std::vector<float> product(size_t{kRows} * c.columns);
  std::memcpy(product.data(), dst.mapped().data(), 4 * product.size());
  return product;
}

}  // namespace

TEST_CASE("matmul: neither handing activations round a subgroup nor loading for all lanes at once changes a bit") {
  test::VulkanFixture with;
  if (!with.device().limits().subgroup_broadcast || with.device().info().type != DeviceType::cpu) {
    MESSAGE("skipped: the device does not exchange values in a subgroup");
    return;
  }
  test::VulkanFixture without([](DeviceOptions& options) { options.adjust_limits = [](Limits& limits) { limits.subgroup_broadcast = false; }; });
  for (const WeightTypeInfo& info : weight_types())
    for (const auto& [columns, tile] : {std::pair{1u, 1u}, {3u, 1u}, {32u, 16u}}) {
      CAPTURE(std::string(info.name));
      CAPTURE(columns);
      const std::vector<float> a = multiply(with.device(), {info.type, columns, tile});
      const std::vector<float> b = multiply(without.device(), {info.type, columns, tile});
      CHECK(std::memcmp(a.data(), b.data(), 4 * a.size()) == 0);
      const std::vector<float> together = multiply(with.device(), {info.type, columns, tile}, true);
      CHECK(std::memcmp(together.data(), b.data(), 4 * b.size()) == 0);
      float largest = 0;
      for (const float value : a) largest = std::max(largest, std::abs(value));
      CHECK(largest > 0.1F);
    }
}
