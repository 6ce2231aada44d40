// Opening a model and one prompt and one generated step, with every fallible Vulkan call failing once, and with the device lost at each of them.
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>

#include "engine/generate/model.hpp"
#include "engine/generate/session.hpp"
#include "tests/support/tiny_llama.hpp"
#include "tests/support/vulkan_fixture.hpp"
#include "tests/support/vulkan_shim.hpp"

using namespace quire;
using namespace quire::test;

namespace {

constexpr std::chrono::seconds kTimeout{60};
/// More fallible calls than a run makes: the loops end at the first one that is not reached.
constexpr uint64_t kMoreCalls = 2000;

const std::vector<std::byte>& tiny_model() {
  static const std::vector<std::byte> bytes = testing::make_tiny_llama({.layers = 1, .head_length = 32, .seed = 7}).finish();
  return bytes;
}

ModelOptions small_options() { return {.context_length = 128, .chunk = 32, .slab_bytes = 1 << 20}; }

/// The logits after a prompt and a generated token.
Result<std::vector<float>> answer(Session& session) {
  const std::vector<uint32_t> prompt = {5, 9, 200, 31, 77, 8, 120};
  const uint32_t next = 42;
  Session* const sessions[] = {&session};
  QUIRE_TRY(session.append(prompt, Phase::prompt));
  QUIRE_TRY(run_steps(sessions, kTimeout));
  QUIRE_TRY(session.argmax());
  QUIRE_TRY(session.append(std::span(&next, 1), Phase::generated));
  QUIRE_TRY(run_steps(sessions, kTimeout));
  QUIRE_ASSIGN(const std::span<const float> logits, session.logits());
  return std::vector<float>(logits.begin(), logits.end());
}

Result<std::vector<float>> open_and_answer(DeviceOptions options, VulkanShim& shim) {
  options.get_instance_proc_addr = shim.entry();
  QUIRE_ASSIGN(Device device, Device::open(options));
  QUIRE_ASSIGN(const std::unique_ptr<Model> model, Model::open(device, std::make_shared<MemorySource>(tiny_model()), small_options()));
  QUIRE_ASSIGN(const std::unique_ptr<Session> session, Session::create(*model, {}));
  return answer(*session);
}

std::vector<float> undisturbed() {
  ValidationLog log;
  VulkanShim shim;
  const auto result = open_and_answer(log.options(), shim);
  REQUIRE_MESSAGE(result.ok(), (result.ok() ? std::string() : result.error().message));
  return *result;
}

}  // namespace

TEST_CASE("model_failure: each device call of opening and of a step failing once is a code, leaks nothing, and the next run is right") {
  const std::vector<float> expected = undisturbed();
  std::map<Code, uint64_t> outcomes;
  uint64_t call = 1;
  for (; call < kMoreCalls; ++call) {
    CAPTURE(call);
    ValidationLog log;
    VulkanShim shim;
    shim.fail({"", call, VK_ERROR_OUT_OF_DEVICE_MEMORY, false});
    const auto result = open_and_answer(log.options(), shim);
    if (shim.failed_call().empty()) break;
    CAPTURE(shim.failed_call());
    if (result.ok()) CHECK(*result == expected);
    ++outcomes[result.code()];
    INFO("alive: " << shim.describe_live_objects());
    CHECK(shim.live_objects().empty());
  }
  for (const auto& [code, count] : outcomes) std::printf("%s: %llu\n", std::string(code_name(code)).c_str(), static_cast<unsigned long long>(count));
  CHECK(call > 50);
  CHECK(call < kMoreCalls);
  CHECK(outcomes[Code::out_of_device_memory] > 0);
  CHECK(undisturbed() == expected);
}

TEST_CASE("model_failure: a step that fails leaves the session as it was, and the same session then answers right") {
  const std::vector<float> expected = undisturbed();
  ValidationLog log;
  VulkanShim shim;
  DeviceOptions options = log.options();
  options.get_instance_proc_addr = shim.entry();
  Result<Device> device = Device::open(options);
  REQUIRE(device.ok());
  auto model = Model::open(*device, std::make_shared<MemorySource>(tiny_model()), small_options());
  REQUIRE(model.ok());
  auto session = Session::create(**model, {});
  REQUIRE(session.ok());
  uint64_t failures = 0;
  for (uint64_t call = 1; call < kMoreCalls; ++call) {
    CAPTURE(call);
    REQUIRE((*session)->reset().ok());
    shim.fail({"", call, VK_ERROR_OUT_OF_HOST_MEMORY, false});
    const auto result = answer(**session);
    const bool reached = !shim.failed_call().empty();
    shim.stop_failing();
    if (!reached) {
      REQUIRE(result.ok());
      break;
    }
    if (device->lost()) {
      FAIL("a single out-of-memory answer of " << shim.failed_call() << " lost the device");
    }
    if (!result.ok()) ++failures;
    CHECK((*session)->computed() <= (*session)->tokens().size());
    REQUIRE((*session)->reset().ok());
    const auto again = answer(**session);
    REQUIRE_MESSAGE(again.ok(), (again.ok() ? std::string() : again.error().message));
    CHECK(*again == expected);
  }
  CHECK(failures > 3);
}

TEST_CASE("model_failure: a device lost at any call answers device_lost, again and again, and nothing leaks") {
  const std::vector<float> expected = undisturbed();
  uint64_t lost = 0, lost_after_the_answer = 0, call = 1;
  for (; call < kMoreCalls; call += 3) {
    CAPTURE(call);
    ValidationLog log;
    VulkanShim shim;
    shim.lose_device_at(call);
    {
      const auto result = open_and_answer(log.options(), shim);
      if (shim.failed_call().empty()) break;
      CAPTURE(shim.failed_call());
      if (result.ok()) {
        CHECK(*result == expected);
        ++lost_after_the_answer;
      } else {
        CHECK(result.code() == Code::device_lost);
        ++lost;
      }
    }
    INFO("alive: " << shim.describe_live_objects());
    CHECK(shim.live_objects().empty());
  }
  CHECK(lost > 15);
  CHECK(lost_after_the_answer <= 2);  // the waits of destruction
  CHECK(call < kMoreCalls);
  CHECK(undisturbed() == expected);
}
