// The two devices that every case runs on. They live for the whole program: opening one takes longer than a case.
//
// QUIRE_TEST_LIMITS=minimum lowers the Vulkan device's limits to the least that Vulkan promises, without subgroup arithmetic.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "engine/device/device.hpp"
#include "engine/forward/variant_set.hpp"

namespace quire::conformance {

inline constexpr uint32_t kArenaCount = 3;

class TestDevice {
 public:
  TestDevice(Device device, const VariantSet& variants) : device_(std::move(device)) { set_variants(variants); }

  Device& device() { return device_; }
  const VariantSet& variants() const { return variants_; }
  /// Takes everything but the weight layout, which is the device's own.
  void set_variants(const VariantSet& variants) {
    variants_ = variants;
    variants_.weight_layout = device_.limits().weight_layout;
  }

  /// Cases run as one persistent_step instead of a dispatch a kernel, while `workers` is not 0.
  void set_persistent_workers(uint32_t workers) { persistent_workers_ = workers; }
  uint32_t persistent_workers() const { return persistent_workers_; }

  /// Buffers that cases share, one after the other.
  void grow_arena(uint32_t index, uint64_t size_bytes);
  const Buffer& arena(uint32_t index) const { return arenas_[index]; }
  const Buffer& readback(uint32_t index) const { return readbacks_[index]; }

 private:
  Device device_;
  VariantSet variants_;
  uint32_t persistent_workers_ = 0;
  std::array<Buffer, kArenaCount> arenas_;
  std::array<Buffer, kArenaCount> readbacks_;
};

struct TestDevices {
  TestDevice reference;
  TestDevice vulkan;
  /// The variant set that choose_variants gave the Vulkan device; the reference uses the same, so that activations lie alike.
  VariantSet chosen;
};

/// Fails the test case if a device cannot be opened.
TestDevices& test_devices();
/// The chosen variants, but with the many-token family on cooperative matrices; prints that `test` is skipped and gives nothing where the device has none.
std::optional<VariantSet> cooperative_variants(const char* test);
/// Whether the Vulkan device runs matmul_int8; prints that `test` is skipped where it does not.
bool has_integer_dot_product(const char* test);
/// Destroys the devices and tells what the validation layers said since the program began; empty is what every test wants.
std::string close_test_devices();

/// Both devices use `variants` while it lives.
class VariantScope {
 public:
  explicit VariantScope(const VariantSet& variants) {
    test_devices().reference.set_variants(variants);
    test_devices().vulkan.set_variants(variants);
  }
  ~VariantScope() {
    test_devices().reference.set_variants(test_devices().chosen);
    test_devices().vulkan.set_variants(test_devices().chosen);
  }
  VariantScope(const VariantScope&) = delete;
  VariantScope& operator=(const VariantScope&) = delete;
};

}  // namespace quire::conformance
