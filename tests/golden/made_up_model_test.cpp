// Random models of shapes that no real file here has, on Vulkan against the reference backend in double precision.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "tests/golden/golden_support.hpp"
#include "tests/support/tiny_llama.hpp"

namespace quire::golden {
namespace {

using testing::make_tiny_llama;

struct Opened {
  std::vector<std::byte> bytes;
  std::unique_ptr<Model> model;
};

Opened open_on(Device& device, const testing::GgufWriter& writer, const ModelOptions& options = {}) {
  Opened opened{writer.finish(), nullptr};
  opened.model = require_ok(Model::open(device, std::make_shared<MemorySource>(opened.bytes), options));
  return opened;
}

std::vector<uint32_t> tokens_below(uint32_t vocabulary, uint32_t count) {
  std::vector<uint32_t> tokens(count);
  uint32_t state = 99;
  for (uint32_t& token : tokens) {
    state = state * 1664525U + 1013904223U;
    token = (state >> 8) % vocabulary;
  }
  return tokens;
}

/// Logits of a prompt's last positions, then of forced tokens.
std::vector<float> answers(Model& model, PageFormats formats, uint32_t prompt_length) {
  const uint32_t vocabulary = model.hyperparameters().vocabulary_size;
  const auto session = require_ok(Session::create(model, {.formats = formats}));
  const std::vector<uint32_t> tokens = tokens_below(vocabulary, prompt_length + 5);
  std::vector<float> all = logits_of(*session, std::span(tokens).first(prompt_length), Phase::prompt, 4);
  const std::vector<float> forced = logits_of(*session, std::span(tokens).subspan(prompt_length), Phase::generated, 5);
  all.insert(all.end(), forced.begin(), forced.end());
  return all;
}

struct Difference {
  double mean_kl = 0;
  double largest_logit = 0;
};

Difference compare(std::span<const float> reference, std::span<const float> ours, uint32_t vocabulary) {
  REQUIRE(reference.size() == ours.size());
  Difference difference;
  const size_t positions = ours.size() / vocabulary;
  for (size_t p = 0; p < positions; ++p)
    difference.mean_kl += kl_divergence(reference.subspan(p * vocabulary, vocabulary), ours.subspan(p * vocabulary, vocabulary)) / static_cast<double>(positions);
  for (size_t i = 0; i < ours.size(); ++i) difference.largest_logit = std::max(difference.largest_logit, std::abs(double{ours[i]} - reference[i]));
  return difference;
}

void check_against_reference(const char* name, const testing::GgufWriter& writer, uint32_t prompt_length) {
  test::VulkanFixture vulkan;
  DeviceOptions reference_options;
  reference_options.backend = BackendKind::reference;
  Device reference = require_ok(Device::open(reference_options));
  const Opened ours = open_on(vulkan.device(), writer, {.slab_bytes = 1 << 20, .page_fill = PageFill::poison});
  const Opened oracle = open_on(reference, writer, {.slab_bytes = 1 << 20});
  const PageFormats f32{PageFormat::f32, PageFormat::f32};
  const Difference d = compare(answers(*oracle.model, f32, prompt_length), answers(*ours.model, f32, prompt_length),
                               ours.model->hyperparameters().vocabulary_size);
  INFO(name);
  std::printf("%s: mean KL %.3g, largest logit difference %.3g\n", name, d.mean_kl, d.largest_logit);
  CHECK(d.mean_kl <= 1e-5);
  CHECK(d.largest_logit <= 2e-3);
}

TEST_CASE("made-up models: MHA, GQA 7:1 and MQA of several head sizes agree with the reference") {
  check_against_reference("mha 32", make_tiny_llama({.embedding = 96, .feed_forward = 160, .heads = 3, .heads_kv = 3, .head_length = 32, .seed = 2}), 70);
  check_against_reference("gqa 7:1 40", make_tiny_llama({.embedding = 72, .feed_forward = 100, .heads = 14, .heads_kv = 2, .head_length = 40, .seed = 3}), 33);
  check_against_reference("mqa 256", make_tiny_llama({.embedding = 64, .feed_forward = 212, .heads = 4, .heads_kv = 1, .head_length = 256, .tied = false, .seed = 4}), 65);
}

TEST_CASE("made-up models: two cache groups, one windowed, agree with the reference and hold no more pages than the window needs") {
  testing::GgufWriter writer = make_tiny_llama({.layers = 4, .embedding = 64, .feed_forward = 96, .heads = 4, .heads_kv = 2, .head_length = 32, .seed = 5});
  writer.add_u32("llama.attention.sliding_window", 70);
  writer.add_u32("llama.attention.sliding_window_pattern", 2);
  check_against_reference("two groups, window 70", writer, 300);

  test::VulkanFixture vulkan;
  const Opened opened = open_on(vulkan.device(), writer, {.chunk = 64, .slab_bytes = 1 << 20, .page_fill = PageFill::poison});
  REQUIRE(opened.model->cache_groups().size() == 2);
  const auto session = require_ok(Session::create(*opened.model, {}));
  const std::vector<uint32_t> tokens = tokens_below(opened.model->hyperparameters().vocabulary_size, 400);
  logits_of(*session, tokens, Phase::prompt);
  const CacheMemory memory = opened.model->cache_memory();
  for (size_t g = 0; g < 2; ++g) {
    const CacheGroup& group = opened.model->cache_groups()[g];
    const uint32_t most = group.window != 0 ? (group.window + group.tokens_per_page - 1) / group.tokens_per_page + 1 : 400 / group.tokens_per_page + 1;
    CHECK(memory.groups[g].pages.pages_in_use <= most);
    CHECK(memory.groups[g].pages.pages_in_use > 0);
  }
}

TEST_CASE("made-up models: the device holds the predicted bytes and nothing else, so no copy of keys, values or weights") {
  test::VulkanFixture vulkan;
  Device& device = vulkan.device();
  const testing::GgufWriter writer = make_tiny_llama({.layers = 3, .embedding = 128, .feed_forward = 160, .heads = 4, .heads_kv = 2, .head_length = 32, .seed = 8});
  const Opened opened = open_on(device, writer, {.slab_bytes = 1 << 20});
  const MemoryPrediction predicted = opened.model->memory_prediction(300, {});
  const uint64_t model_bytes = predicted.weight_bytes + predicted.scratch_bytes + opened.model->memory_prediction(0, {}).table_bytes;
  CHECK(device.memory().buffer_bytes == model_bytes);
  // The same tensors in the file: the tiles may add 2 % and one tile a tensor.
  uint64_t file_bytes = 0, tile_bytes = 0;
  for (const TensorInfo& tensor : opened.model->file().tensors()) {
    file_bytes += tensor.size_bytes;
    tile_bytes += tensor.size_bytes / tensor.dims[1] * 16 + 256;
  }
  CHECK(predicted.weight_bytes <= file_bytes + file_bytes / 50 + tile_bytes);

  const auto session = require_ok(Session::create(*opened.model, {}));
  const std::vector<uint32_t> tokens = tokens_below(opened.model->hyperparameters().vocabulary_size, 300);
  logits_of(*session, std::span(tokens).first(299), Phase::prompt);
  logits_of(*session, std::span(tokens).last(1), Phase::generated);
  require_ok(device.completed());
  const CacheMemory cache = opened.model->cache_memory();
  CHECK(cache.in_use_bytes == predicted.page_bytes_for_context);
  CHECK(model_bytes + cache.table_bytes == predicted.weight_bytes + predicted.scratch_bytes + predicted.table_bytes);
  const uint64_t session_bytes = predicted.session_bytes + cache.slab_bytes + cache.table_bytes;
  const uint64_t held = device.memory().buffer_bytes;
  CHECK(held >= model_bytes + session_bytes);
  // What is left over is results on their way to the host: an argmax and a row of logits, until the device has passed them.
  CHECK(held <= model_bytes + session_bytes + 4 * predicted.session_bytes);
}

TEST_CASE("made-up models: a request for logits takes effect with the next append, and a reset forgets it") {
  test::VulkanFixture vulkan;
  const Opened opened = open_on(vulkan.device(), make_tiny_llama({.seed = 9}), {.chunk = 128, .slab_bytes = 1 << 20});
  const uint32_t vocabulary = opened.model->hyperparameters().vocabulary_size;
  const std::vector<uint32_t> tokens = tokens_below(vocabulary, 200);
  const auto session = require_ok(Session::create(*opened.model, {}));
  Session* const sessions[] = {session.get()};
  session->request({.logits_last = 90});
  require_ok(session->append(tokens, Phase::prompt));
  {
    Step step = require_ok(Step::begin(sessions));
    require_ok(step.finish(kStepTimeout));
  }
  REQUIRE(session->pending() > 0);
  session->request({.logits_last = 1});
  run({session.get()});
  CHECK(session->logits_positions() == 90);
  const std::span<const float> rows = require_ok(session->logits());
  REQUIRE(rows.size() == size_t{90} * vocabulary);
  CHECK(index_of_largest(rows.last(vocabulary)) == require_ok(session->argmax()).index);

  require_ok(session->reset());
  const std::vector<float> fresh = logits_of(*require_ok(Session::create(*opened.model, {})), tokens, Phase::prompt);
  session->request({.logits_last = 7});
  require_ok(session->reset());
  require_ok(session->append(tokens, Phase::prompt));
  run({session.get()});
  CHECK(session->logits_positions() == 1);
  const std::span<const float> newest = require_ok(session->logits());
  CHECK(std::equal(newest.begin(), newest.end(), fresh.begin(), fresh.end()));
}

TEST_CASE("made-up models: a cancelled step leaves its session as it was, and the same step then gives the same bits") {
  test::VulkanFixture vulkan;
  const Opened opened = open_on(vulkan.device(), make_tiny_llama({.seed = 10}), {.slab_bytes = 1 << 20});
  const std::vector<uint32_t> tokens = tokens_below(opened.model->hyperparameters().vocabulary_size, 100);
  const auto undisturbed = require_ok(Session::create(*opened.model, {}));
  const std::vector<float> expected = logits_of(*undisturbed, tokens, Phase::prompt);
  const auto session = require_ok(Session::create(*opened.model, {}));
  Session* const sessions[] = {session.get()};
  require_ok(session->append(tokens, Phase::prompt));
  for (int round = 0; round < 3; ++round) {
    Step step = require_ok(Step::begin(sessions));
    CHECK(session->in_step());
    CHECK(session->truncate(1).code() == Code::busy);
    step.cancel();
    CHECK_FALSE(session->in_step());
    CHECK(session->computed() == 0);
    CHECK(session->pending() == 100);
  }
  run({session.get()});
  const std::span<const float> logits = require_ok(session->logits());
  CHECK(std::equal(logits.begin(), logits.end(), expected.begin(), expected.end()));
}

TEST_CASE("made-up models: a tensor larger than the device's largest buffer is split and answers alike") {
  const testing::GgufWriter writer = make_tiny_llama({.embedding = 64, .feed_forward = 96, .heads = 2, .heads_kv = 2, .head_length = 32, .vocabulary = 6000, .seed = 6});
  test::VulkanFixture whole_device;
  test::VulkanFixture small_device([](DeviceOptions& options) {
    options.adjust_limits = [](Limits& limits) { limits.max_buffer_bytes = 700 << 10; };
  });
  const Opened whole = open_on(whole_device.device(), writer, {.slab_bytes = 1 << 20});
  const Opened split = open_on(small_device.device(), writer, {.context_length = 64, .chunk = 16, .slab_bytes = 64 << 10});
  const PageFormats f16{};
  const std::vector<float> a = answers(*whole.model, f16, 30), b = answers(*split.model, f16, 30);
  CHECK(a == b);
}

}  // namespace
}  // namespace quire::golden
