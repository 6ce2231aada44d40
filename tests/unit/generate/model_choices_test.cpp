// What a model does the same whatever was chosen for its device, and what the submission bound makes of its chunk.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "engine/forward/variant_tuning.hpp"
#include "engine/generate/model.hpp"
#include "engine/generate/session.hpp"
#include "tests/support/tiny_llama.hpp"
#include "tests/support/vulkan_fixture.hpp"
#include "tests/support/vulkan_shim.hpp"

using namespace quire;
using namespace quire::test;

namespace {

constexpr std::chrono::seconds kTimeout{60};
constexpr uint32_t kSessions = 8;

std::unique_ptr<Model> open_model(Device& device, const ModelOptions& options) {
  static const std::vector<std::byte> bytes = testing::make_tiny_llama({}).finish();
  auto model = Model::open(device, std::make_shared<MemorySource>(bytes), options);
  REQUIRE_MESSAGE(model.ok(), (model.ok() ? std::string() : model.error().message));
  return std::move(model).value();
}

/// Logits of sessions after prompts, the first longer than most chunks, and after two tokens more each, computed together.
std::vector<float> answers(Model& model) {
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Session*> pointers;
  for (uint32_t i = 0; i < kSessions; ++i) {
    sessions.push_back(std::move(Session::create(model, {}).value()));
    pointers.push_back(sessions.back().get());
    std::vector<uint32_t> prompt(i == 0 ? 300 : 5 + 9 * i);
    for (size_t t = 0; t < prompt.size(); ++t) prompt[t] = static_cast<uint32_t>((t * 31 + i * 7 + 5) % 290);
    REQUIRE(pointers[i]->append(prompt, Phase::prompt).ok());
  }
  std::vector<float> all;
  for (uint32_t step = 0; step < 3; ++step) {
    for (uint32_t i = 0; i < kSessions && step > 0; ++i) {
      const uint32_t token = 40 + i + 3 * step;
      REQUIRE(pointers[i]->append(std::span(&token, 1), Phase::generated).ok());
    }
    REQUIRE(run_steps(pointers, kTimeout).ok());
    for (Session* session : pointers) {
      const auto logits = session->logits();
      REQUIRE(logits.ok());
      all.insert(all.end(), logits->begin(), logits->end());
    }
  }
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) { return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0; }

}  // namespace

TEST_CASE("model_choices: whatever tuning may choose, a model answers with the same bits and takes the memory predicted") {
  VulkanFixture fixture;
  const VariantSet defaults = choose_variants(fixture.device().limits());
  const std::vector<float> expected = answers(*open_model(fixture.device(), {}));
  for (const TunedField& field : tuned_fields())
    for (const uint32_t value : tuning_candidates(field, defaults, fixture.device().limits())) {
      CAPTURE(field.name);
      CAPTURE(value);
      ModelOptions options;
      options.variants = defaults;
      (*options.variants).*field.value = value;
      const std::unique_ptr<Model> model = open_model(fixture.device(), options);
      CHECK(same_bits(answers(*model), expected));
      if (field.value == &VariantSet::prompt_chunk) CHECK(model->chunk() == value);
      CHECK(model->memory().scratch_bytes == model->memory_prediction(512, {}).scratch_bytes);
    }
}

TEST_CASE("model_choices: steps replayed from recordings have the bits of steps recorded one by one, over new shapes and new sessions") {
  std::vector<float> expected;
  for (const bool timestamps : {true, false}) {  // where dispatches are measured each step records its own
    VulkanShim shim;
    VulkanFixture fixture([&](DeviceOptions& options) {
      options.get_instance_proc_addr = shim.entry();
      options.timestamps = timestamps;
    });
    const std::unique_ptr<Model> model = open_model(fixture.device(), {.persistent_decode = PersistentChoice::off});
    std::vector<float> all;
    for (uint32_t turn = 0; turn < 2; ++turn) {  // the second turn's sessions may get the first's memory
      std::vector<std::unique_ptr<Session>> sessions;
      std::vector<Session*> pointers;
      for (uint32_t i = 0; i < 3; ++i) {
        sessions.push_back(std::move(Session::create(*model, {}).value()));
        pointers.push_back(sessions.back().get());
        // The first one's context grows over the end of a split of 128.
        std::vector<uint32_t> prompt(i == 0 ? 120 : 4 + i, 17 + i + turn);
        REQUIRE(pointers[i]->append(prompt, Phase::prompt).ok());
      }
      for (uint32_t step = 0; step < 24; ++step) {
        // All, then the first alone, the second alone, the first two.
        constexpr std::pair<size_t, size_t> kStepped[] = {{0, 3}, {0, 1}, {1, 1}, {0, 2}};
        const std::span<Session* const> stepped = std::span(pointers).subspan(kStepped[step % 4].first, kStepped[step % 4].second);
        for (Session* session : stepped) {
          if (step == 0) break;
          const uint32_t token = 30 + 5 * step + static_cast<uint32_t>(session == pointers[0]);
          REQUIRE(session->append(std::span(&token, 1), Phase::generated).ok());
        }
        REQUIRE(run_steps(stepped, kTimeout).ok());
        for (Session* session : stepped) {
          const auto logits = session->logits();
          REQUIRE(logits.ok());
          all.insert(all.end(), logits->begin(), logits->end());
        }
      }
    }
    if (expected.empty()) expected = all;
    CHECK(same_bits(all, expected));
    CHECK(shim.calls("vkCmdExecuteCommands") == (timestamps ? 0 : 2 * 23));
  }
}

TEST_CASE("model_choices: more sessions than recordings are kept answer alike, each alone and time after time") {
  VulkanFixture fixture;
  const std::unique_ptr<Model> model = open_model(fixture.device(), {});
  constexpr uint32_t kMany = 40;
  const std::vector<uint32_t> prompt(9, 33), generated = {71, 72};
  std::vector<std::unique_ptr<Session>> sessions;
  for (uint32_t i = 0; i < kMany; ++i) sessions.push_back(std::move(Session::create(*model, {}).value()));
  std::vector<float> expected;
  for (uint32_t turn = 0; turn < 3; ++turn)
    for (const auto& session : sessions) {
      REQUIRE(session->append(turn == 0 ? std::span(prompt) : std::span(generated).subspan(turn - 1, 1), turn == 0 ? Phase::prompt : Phase::generated).ok());
      Session* const alone = session.get();
      REQUIRE(run_steps({&alone, 1}, kTimeout).ok());
      const auto logits = session->logits();
      REQUIRE(logits.ok());
      if (session == sessions.front()) expected.assign(logits->begin(), logits->end());
      CHECK(same_bits(std::vector<float>(logits->begin(), logits->end()), expected));
    }
}

TEST_CASE("model_choices: 8-bit arithmetic is refused by a device without integer dot products, and takes room for codes where it runs") {
  static const std::vector<std::byte> bytes = testing::make_tiny_llama({}).finish();
  const auto source = [] { return std::make_shared<MemorySource>(bytes); };
  const ModelOptions int8{.arithmetic = Arithmetic::int8};
  VulkanFixture without([](DeviceOptions& options) { options.adjust_limits = [](Limits& limits) { limits.integer_dot_product = false; }; });
  const auto refused = Model::open(without.device(), source(), int8);
  REQUIRE(refused.code() == Code::unsupported);
  CHECK(refused.error().message.find("integer dot products") != std::string::npos);
  const GgufFile file = std::move(GgufFile::read(*source())).value();
  CHECK(predict_memory(file, without.device().limits(), int8, 100, {}).code() == Code::unsupported);
  CHECK(Model::open(without.device(), source(), {}).ok());

  DeviceOptions reference;
  reference.backend = BackendKind::reference;
  Device device = std::move(Device::open(reference)).value();
  const std::unique_ptr<Model> plain = open_model(device, {}), quantized = open_model(device, int8);
  CHECK(quantized->memory().scratch_bytes > plain->memory().scratch_bytes);
  for (const Model* model : {plain.get(), quantized.get()}) CHECK(model->memory().scratch_bytes == model->memory_prediction(100, {}).scratch_bytes);
  CHECK(quantized->variants().describe() == plain->variants().describe() + "; many in 8-bit integers");
}

TEST_CASE("model_choices: a chunk is no longer than lets its largest product fit a submission, and that changes no bit") {
  VulkanFixture unbounded;
  const std::unique_ptr<Model> whole = open_model(unbounded.device(), {});
  CHECK(whole->chunk() == 256);
  CHECK(unbounded.device().limits().submission_macs == UINT64_MAX);
  const std::vector<float> expected = answers(*whole);
  // The tiny model's largest product has 192 x 64 multiply-accumulates a token; a CPU device is taken to do 4 in a nanosecond.
  for (const auto& [bound_ns, chunk] : {std::pair{1, 16U}, {100'000, 32U}, {1'000'000'000, 256U}}) {
    CAPTURE(bound_ns);
    VulkanFixture bounded([&](DeviceOptions& options) { options.submission_bound = std::chrono::nanoseconds(bound_ns); });
    if (bounded.device().info().type != DeviceType::cpu) continue;
    const std::unique_ptr<Model> model = open_model(bounded.device(), {});
    CHECK(model->chunk() == chunk);
    if (bound_ns > 1) CHECK(same_bits(answers(*model), expected));
    CHECK(open_model(bounded.device(), {.chunk = 200})->chunk() == 200);
  }
}
