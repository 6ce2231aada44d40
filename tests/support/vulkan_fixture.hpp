// Vulkan devices for tests: opened with the validation layers, and any message they print fails the test.
#pragma once

#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/device/device.hpp"

namespace quire::test {

/// Off only with QUIRE_TEST_VALIDATION=0, for runs that measure time.
inline bool validation_wanted() {
  const char* value = std::getenv("QUIRE_TEST_VALIDATION");
  return value == nullptr || std::strcmp(value, "0") != 0;
}

/// Keeps the layer's library in the process after the last instance is gone, so that a leak report can name it and the suppressions can match.
inline void keep_validation_layer_loaded() {
  static void* const library = dlopen("libVkLayer_khronos_validation.so", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
  static_cast<void>(library);
}

/// Collects what the validation layers say. Must outlive the devices opened with its options: they speak at destruction too.
class ValidationLog {
 public:
  ValidationLog() = default;
  ValidationLog(const ValidationLog&) = delete;
  ValidationLog& operator=(const ValidationLog&) = delete;
  ~ValidationLog() {
    for (const std::string& message : messages_) FAIL_CHECK("validation: " << message);
  }

  DeviceOptions options() {
    DeviceOptions options;
    options.backend = BackendKind::vulkan;
    options.validation = validation_wanted();
    if (options.validation) keep_validation_layer_loaded();
    options.message = [this](const char* message) { messages_.emplace_back(message); };
    return options;
  }
  const std::vector<std::string>& messages() const { return messages_; }
  /// What was said so far, which then no longer fails the test: for tests that provoke it.
  std::vector<std::string> take() { return std::exchange(messages_, {}); }

 private:
  std::vector<std::string> messages_;
};

/// One device behind the checked front, for a test case. `adjust` may change the options before it is opened.
class VulkanFixture {
 public:
  explicit VulkanFixture(const std::function<void(DeviceOptions&)>& adjust = {}) {
    DeviceOptions options = log_.options();
    if (adjust) adjust(options);
    Result<Device> opened = Device::open(options);
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? std::string() : opened.error().message));
    device_.emplace(std::move(opened).value());
  }

  Device& device() { return *device_; }
  ValidationLog& log() { return log_; }

 private:
  ValidationLog log_;
  std::optional<Device> device_;  ///< destroyed before the log is read
};

}  // namespace quire::test
