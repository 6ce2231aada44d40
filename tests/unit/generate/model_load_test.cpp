// Loading weights: what the host holds meanwhile is bounded, and the same bytes arrive whichever way they take.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "engine/generate/model.hpp"
#include "engine/generate/session.hpp"
#include "tests/support/tiny_llama.hpp"
#include "tests/support/vulkan_fixture.hpp"
#include "tests/unit/device/fake_backend.hpp"

using namespace quire;
using namespace quire::test;

namespace {

constexpr std::chrono::seconds kTimeout{60};
/// Three rounds of 8 MiB, each with the rest of its last staging block.
constexpr uint64_t kMostStagingBytes = uint64_t{3} * (8 + 4) << 20;

/// About 100 MB of weights, twelve rounds or more.
const std::vector<std::byte>& model_file() {
  static const std::vector<std::byte> bytes =
      testing::make_tiny_llama({.layers = 6, .embedding = 512, .feed_forward = 2048, .heads = 8, .heads_kv = 8, .head_length = 64, .seed = 3}).finish();
  return bytes;
}

void hide_device_memory(Limits& limits) { limits.host_visible_device_memory = false; }

struct Loaded {
  std::vector<float> logits;
  uint64_t most_staging_bytes = 0;
  uint32_t rounds = 0;
};

Loaded load_and_answer(DeviceOptions options) {
  Loaded loaded;
  Result<Device> device = Device::open(options);
  REQUIRE(device.ok());
  ModelOptions model_options{.context_length = 128, .chunk = 32, .slab_bytes = 1 << 20};
  model_options.progress = [&](uint64_t, uint64_t) {
    loaded.most_staging_bytes = std::max(loaded.most_staging_bytes, device->memory().staging_bytes);
    ++loaded.rounds;
    return true;
  };
  const auto model = Model::open(*device, std::make_shared<MemorySource>(model_file()), model_options);
  REQUIRE_MESSAGE(model.ok(), (model.ok() ? std::string() : model.error().message));
  const auto session = Session::create(**model, {});
  REQUIRE(session.ok());
  const std::vector<uint32_t> prompt = {5, 9, 200, 31, 77, 8, 120};
  Session* const sessions[] = {session->get()};
  REQUIRE((*session)->append(prompt, Phase::prompt).ok());
  REQUIRE(run_steps(sessions, kTimeout).ok());
  const auto logits = (*session)->logits();
  REQUIRE(logits.ok());
  loaded.logits.assign(logits->begin(), logits->end());
  return loaded;
}

}  // namespace

TEST_CASE("model_load: weights that the host does not see go through a few staging blocks, and the answer is that of weights it writes itself") {
  ValidationLog log;
  const Loaded direct = load_and_answer(log.options());
  DeviceOptions options = log.options();
  options.adjust_limits = hide_device_memory;
  const Loaded staged = load_and_answer(options);
  CHECK(direct.most_staging_bytes <= kMostStagingBytes);
  CHECK(staged.most_staging_bytes > 0);  // one round or two: a device may be done before the next is read
  CHECK(staged.most_staging_bytes <= kMostStagingBytes);
  CHECK(staged.rounds > 12);
  // Memory that the host does not see means the variants of a GPU, and so another order of sums.
  REQUIRE(staged.logits.size() == direct.logits.size());
  float largest = 0;
  for (size_t i = 0; i < direct.logits.size(); ++i) largest = std::max(largest, std::abs(staged.logits[i] - direct.logits[i]));
  CHECK(largest < 1e-3f);
}

TEST_CASE("model_load: at most two rounds are in flight while the next is read, however slow the device is") {
  FakeState state;  // completes nothing before it is waited for
  state.maps_device_buffers = false;
  Device device = fake_device(state);
  uint64_t most_in_flight = 0, most_staging_bytes = 0;
  ModelOptions options{.context_length = 128, .chunk = 32, .slab_bytes = 1 << 20};
  options.progress = [&](uint64_t, uint64_t) {
    most_in_flight = std::max(most_in_flight, device.last_submitted() - state.completed);
    most_staging_bytes = std::max(most_staging_bytes, device.memory().staging_bytes);
    return true;
  };
  const auto model = Model::open(device, std::make_shared<MemorySource>(model_file()), options);
  REQUIRE_MESSAGE(model.ok(), (model.ok() ? std::string() : model.error().message));
  CHECK(most_in_flight == 2);
  CHECK(most_staging_bytes > uint64_t{8} << 20);
  CHECK(most_staging_bytes <= kMostStagingBytes);
}
