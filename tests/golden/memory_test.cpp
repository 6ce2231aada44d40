// What `quire inspect` predicts is what a model then takes: byte for byte, of both models, in every page format, for many contexts.
#include <string>
#include <vector>

#include "tests/golden/golden_support.hpp"

namespace quire::golden {
namespace {

struct FormatPair {
  PageFormat k;
  PageFormat v;
};

std::vector<FormatPair> format_pairs() {
  std::vector<FormatPair> pairs;
  for (const PageFormat k : all_page_formats())
    for (const PageFormat v : all_page_formats()) pairs.push_back({k, v});
  return pairs;
}

std::vector<uint32_t> some_tokens(uint32_t count) {
  std::vector<uint32_t> tokens(count);
  for (uint32_t i = 0; i < count; ++i) tokens[i] = 100 + i % 1000;
  return tokens;
}

/// Computes `context` tokens in one session, most of them as a prompt.
void fill_context(Session& session, uint32_t context) {
  const std::vector<uint32_t> tokens = some_tokens(context);
  const size_t generated = std::min<size_t>(3, context - 1);
  require_ok(session.append(std::span(tokens).first(context - generated), Phase::prompt));
  require_ok(session.append(std::span(tokens).last(generated), Phase::generated));
  run({&session});
}

void check_session(Device& device, Model& model, const MemoryPrediction& predicted, uint32_t context, FormatPair formats) {
  INFO("K ", page_format_name(formats.k), ", V ", page_format_name(formats.v));
  const uint64_t before = device.memory().buffer_bytes;
  const auto session = require_ok(Session::create(model, {.formats = {formats.k, formats.v}}));
  CHECK(device.memory().buffer_bytes - before == predicted.session_bytes);
  fill_context(*session, context);
  const ModelMemory used = model.memory();
  CHECK(used.weight_bytes == predicted.weight_bytes);
  CHECK(used.scratch_bytes == predicted.scratch_bytes);
  CHECK(used.table_bytes + used.cache.table_bytes == predicted.table_bytes);
  CHECK(used.cache.in_use_bytes == predicted.page_bytes_for_context);
  REQUIRE(used.cache.groups.size() == predicted.groups.size());
  for (uint32_t g = 0; g < predicted.groups.size(); ++g) {
    CHECK(used.cache.groups[g].pages.pages_in_use == predicted.groups[g].pages_for_context);
    CHECK(session->held_pages(g).size_bytes == uint64_t{predicted.groups[g].pages_for_context} * predicted.groups[g].page_bytes);
  }
  // What the device holds beside the prediction: the free pages of slabs, and nothing once results have been read and retired buffers given back.
  require_ok(device.wait(device.last_submitted(), kStepTimeout));
  require_ok(device.completed());
  const uint64_t total =
      predicted.weight_bytes + predicted.scratch_bytes + predicted.table_bytes + predicted.session_bytes + predicted.page_bytes_for_context;
  CHECK(device.memory().buffer_bytes == total + used.cache.slab_bytes - used.cache.in_use_bytes);
}

void check_prediction(Device& device, const GoldenModel& golden, uint32_t context, std::span<const FormatPair> pairs,
                      Arithmetic arithmetic = Arithmetic::float32) {
  INFO(golden.name, ", context ", context, arithmetic == Arithmetic::int8 ? ", prompts in int8" : "");
  const auto source = [&]() -> std::shared_ptr<ByteSource> { return require_ok(FileSource::open(golden.path.string())); };
  const GgufFile file = require_ok(GgufFile::read(*source()));
  const ModelOptions options{.context_length = context, .arithmetic = arithmetic};
  const auto predict = [&](uint32_t length, PageFormats formats) { return require_ok(predict_memory(file, device.limits(), options, length, formats)); };
  const uint64_t before = device.memory().buffer_bytes;
  const auto model = require_ok(Model::open(device, source(), options));
  const MemoryPrediction idle = predict(0, {});
  CHECK(device.memory().buffer_bytes - before == idle.weight_bytes + idle.scratch_bytes + idle.table_bytes);
  for (const FormatPair pair : pairs) check_session(device, *model, predict(context, {pair.k, pair.v}), context, pair);
}

TEST_CASE("memory: both models take what is predicted, in every page format, for contexts of 1 to 2,048 tokens") {
  const std::vector<FormatPair> pairs = format_pairs();
  for (const GoldenModel* golden : {&kSmolLm2, &kGemma3}) {
    if (!have("predicted memory", *golden)) continue;
    for (const uint32_t context : {1U, 64U, 65U, 500U, 1000U, 2048U}) {
      DeviceOptions options;
      options.backend = BackendKind::null_device;
      Device device = require_ok(Device::open(options));
      check_prediction(device, *golden, context, pairs);
    }
  }
}

TEST_CASE("memory: so they do on Vulkan") {
  const FormatPair mixed[] = {{PageFormat::f16, PageFormat::f32}};
  for (const GoldenModel* golden : {&kSmolLm2, &kGemma3}) {
    if (!have("predicted memory on Vulkan", *golden)) continue;
    test::VulkanFixture vulkan;
    for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::int8})
      if (arithmetic == Arithmetic::float32 || vulkan.device().limits().integer_dot_product) check_prediction(vulkan.device(), *golden, 600, mixed, arithmetic);
  }
}

}  // namespace
}  // namespace quire::golden
