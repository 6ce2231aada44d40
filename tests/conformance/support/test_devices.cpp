#include "tests/conformance/support/test_devices.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <memory>
#include <string_view>
#include <utility>

#include "shaders/interface/kernel_args.h"
#include "tests/support/vulkan_fixture.hpp"

namespace quire::conformance {
namespace {

// Made before the devices, so that it outlives them.
test::ValidationLog& validation_log() {
  static test::ValidationLog log;
  return log;
}

std::unique_ptr<TestDevices>& open_devices_slot() {
  static std::unique_ptr<TestDevices> devices;
  return devices;
}

void lower_to_minimum(Limits& limits) {
  limits.max_workgroup_invocations = 128;
  limits.max_shared_bytes = 16384;
  limits.max_push_constant_bytes = 128;
  limits.subgroup_size = 1;
  limits.subgroup_arithmetic = false;
  limits.float16_arithmetic = false;
  limits.integer_dot_product = false;
  limits.cooperative_matrix = false;
}

DeviceOptions vulkan_options() {
  DeviceOptions options = validation_log().options();
  if (const char* limits = std::getenv("QUIRE_TEST_LIMITS"); limits && std::string_view(limits) == "minimum") options.adjust_limits = lower_to_minimum;
  return options;
}

Device open_or_fail(const DeviceOptions& options) {
  Result<Device> device = Device::open(options);
  if (!device) FAIL(device.error().message);
  return std::move(device).value();
}

std::unique_ptr<TestDevices> open_devices() {
  DeviceOptions reference;
  reference.backend = BackendKind::reference;
  Device vulkan = open_or_fail(vulkan_options());
  const VariantSet chosen = choose_variants(vulkan.limits());
  MESSAGE("conformance on " << vulkan.info().name << ", " << vulkan.info().driver << ": " << chosen.describe());
  return std::make_unique<TestDevices>(TestDevice(open_or_fail(reference), chosen), TestDevice(std::move(vulkan), chosen), chosen);
}

}  // namespace

void TestDevice::grow_arena(uint32_t index, uint64_t size_bytes) {
  if (arenas_[index] && arenas_[index].size_bytes() >= size_bytes) return;
  const uint64_t capacity = std::max<uint64_t>(uint64_t{1} << 16, std::bit_ceil(size_bytes));
  Result<Buffer> arena = device_.create_buffer(capacity, BufferUse::device, "conformance arena");
  if (!arena) FAIL(arena.error().message);
  Result<Buffer> readback = device_.create_buffer(capacity, BufferUse::readback, "conformance readback");
  if (!readback) FAIL(readback.error().message);
  arenas_[index] = std::move(arena).value();
  readbacks_[index] = std::move(readback).value();
}

TestDevices& test_devices() {
  std::unique_ptr<TestDevices>& devices = open_devices_slot();
  if (!devices) devices = open_devices();
  return *devices;
}

std::optional<VariantSet> cooperative_variants(const char* test) {
  const Limits& limits = test_devices().vulkan.device().limits();
  if (limits.cooperative_shape.rows == 0) {
    std::printf("SKIP %s: the device multiplies no f16 matrices, or the shader compiler knew of none\n", test);
    return std::nullopt;
  }
  VariantSet variants = test_devices().chosen;
  variants.cooperative_shape = limits.cooperative_shape;
  variants.cooperative_subgroup = limits.subgroup_size;
  variants.many_column_tile = MATMUL_COOPERATIVE_COLUMN_TILE;
  return variants;
}

bool has_integer_dot_product(const char* test) {
  const bool has = test_devices().vulkan.device().limits().integer_dot_product;
  if (!has) std::printf("SKIP %s: the device has no integer dot products\n", test);
  return has;
}

std::string close_test_devices() {
  open_devices_slot().reset();
  std::string text;
  for (const std::string& message : validation_log().take()) text += message + "\n";
  return text;
}

}  // namespace quire::conformance
