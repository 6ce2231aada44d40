// Layers with a window: the pages they hold, what a truncation below them costs, and what a long text costs.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/forward/kernels.hpp"
#include "tests/golden/golden_support.hpp"
#include "tests/support/tiny_llama.hpp"

namespace quire::golden {
namespace {

constexpr uint32_t kTinyWindow = 70;

/// A model on a device, with the bytes of its file where it was made here.
struct Opened {
  std::vector<std::byte> bytes;
  std::unique_ptr<Model> model;
};

/// Two cache groups: layers 0 and 2 see kTinyWindow tokens, 1 and 3 all of them.
Opened open_two_groups(Device& device, const ModelOptions& options) {
  testing::GgufWriter writer = testing::make_tiny_llama(
      {.layers = 4, .embedding = 64, .feed_forward = 96, .heads = 4, .heads_kv = 2, .head_length = 32, .context = 8192, .seed = 5});
  writer.add_u32("llama.attention.sliding_window", kTinyWindow);
  writer.add_u32("llama.attention.sliding_window_pattern", 2);
  Opened opened{writer.finish(), nullptr};
  opened.model = require_ok(Model::open(device, std::make_shared<MemorySource>(opened.bytes), options));
  REQUIRE(opened.model->cache_groups().size() == 2);
  return opened;
}

Device null_device() {
  DeviceOptions options;
  options.backend = BackendKind::null_device;
  return require_ok(Device::open(options));
}

std::vector<uint32_t> made_up_tokens(uint32_t count, uint32_t vocabulary) {
  std::vector<uint32_t> tokens(count);
  uint32_t state = 7;
  for (uint32_t& token : tokens) {
    state = state * 1664525U + 1013904223U;
    token = 4 + (state >> 8) % (vocabulary - 4);
  }
  return tokens;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// Pages that `length` slots take where the next query sees `window` of them, itself included.
uint32_t pages_needed(uint32_t length, uint32_t window, uint32_t tokens_per_page) {
  uint32_t pages = 0;
  for (uint32_t page = 0; page * tokens_per_page < length; ++page)
    if (window == 0 || (page + 1) * tokens_per_page + window > length + 1) ++pages;
  return pages;
}

void check_pages(const Session& session, const Model& model) {
  for (uint32_t g = 0; g < model.cache_groups().size(); ++g) {
    const CacheGroup& group = model.cache_groups()[g];
    const uint32_t held = session.held_pages(g).count;
    INFO("group ", g, " of window ", group.window, " at ", session.computed(), " tokens");
    CHECK(held == pages_needed(session.computed(), group.window, group.tokens_per_page));
    if (group.window != 0) CHECK(held <= (group.window + group.tokens_per_page - 1) / group.tokens_per_page + 1);
    if (group.window != 0) CHECK(most_held_pages(group) == (group.window + group.tokens_per_page - 1) / group.tokens_per_page + 1);
  }
}

/// Computes `tokens` in steps of 1, then 2, 3, ... tokens, and looks after each.
void check_pages_along(Model& model, std::span<const uint32_t> tokens, Phase phase) {
  const auto session = require_ok(Session::create(model, {}));
  size_t step = 1;
  for (size_t at = 0; at < tokens.size(); at += step, ++step) {
    require_ok(session->append(tokens.subspan(at, std::min(step, tokens.size() - at)), phase));
    run({session.get()});
    check_pages(*session, model);
  }
}

TEST_CASE("windows: between steps a session holds exactly the pages that its next query sees, at any length") {
  Device device = null_device();
  const Opened opened = open_two_groups(device, {.chunk = 64, .slab_bytes = 1 << 20});
  const uint32_t vocabulary = opened.model->hyperparameters().vocabulary_size;
  check_pages_along(*opened.model, made_up_tokens(6000, vocabulary), Phase::prompt);
  check_pages_along(*opened.model, made_up_tokens(400, vocabulary), Phase::generated);
  CHECK(opened.model->cache_memory().pages_in_use == 0);
  if (!have("window pages", kGemma3)) return;
  const auto gemma = require_ok(Model::open(device, require_ok(FileSource::open(kGemma3.path.string())), {}));
  REQUIRE(gemma->cache_groups().size() == 2);
  check_pages_along(*gemma, made_up_tokens(6000, vocabulary), Phase::prompt);
}

TEST_CASE("windows: pages that left a window are poisoned by their next owner, and no bit of either answer changes") {
  test::VulkanFixture vulkan;
  const Opened opened = open_two_groups(vulkan.device(), {.chunk = 32, .slab_bytes = 64 << 10, .page_fill = PageFill::poison});
  const std::vector<uint32_t> tokens = made_up_tokens(320, opened.model->hyperparameters().vocabulary_size);
  const std::vector<uint32_t> others(tokens.rbegin(), tokens.rend());
  const auto alone = [&](std::span<const uint32_t> ids) { return logits_of(*require_ok(Session::create(*opened.model, {})), ids, Phase::prompt, 5); };
  const std::vector<float> first_alone = alone(tokens), second_alone = alone(others);
  const auto first = require_ok(Session::create(*opened.model, {})), second = require_ok(Session::create(*opened.model, {}));
  // In turns, so that each takes what the other gave back.
  std::vector<float> first_answer, second_answer;
  for (size_t at = 0; at < tokens.size(); at += 40) {
    first_answer = logits_of(*first, std::span(tokens).subspan(at, 40), Phase::prompt, 5);
    second_answer = logits_of(*second, std::span(others).subspan(at, 40), Phase::prompt, 5);
  }
  CHECK(same_bits(first_alone, first_answer));
  CHECK(same_bits(second_alone, second_answer));
}

/// A timeline of prompt tokens, then generated ones, then prompt tokens again.
struct MixedTimeline {
  std::vector<uint32_t> tokens;
  size_t generated_begin = 0;
  size_t generated_end = 0;

  /// Appends from token `from` on and computes all that is pending; logits of the last token.
  std::vector<float> continue_from(Session& session, size_t from) const {
    const size_t ends[] = {generated_begin, generated_end, tokens.size()};
    const Phase phases[] = {Phase::prompt, Phase::generated, Phase::prompt};
    for (size_t i = 0; i < 3; ++i) {
      const size_t begin = std::max(from, i == 0 ? size_t{0} : ends[i - 1]);
      if (begin < ends[i]) require_ok(session.append(std::span(tokens).subspan(begin, ends[i] - begin), phases[i]));
    }
    run({&session});
    const std::span<const float> logits = require_ok(session.logits());
    return {logits.begin(), logits.end()};
  }
};

/// `needs_all`: whether a window has given back what `length` tokens need.
void check_truncation(Model& model, const MixedTimeline& timeline, uint32_t length, bool needs_all) {
  const auto session = require_ok(Session::create(model, {}));
  const std::vector<float> first = timeline.continue_from(*session, 0);
  INFO("truncated to ", length);
  require_ok(session->truncate(length));
  CHECK(session->tokens().size() == length);
  CHECK(session->computed() == (needs_all ? 0 : length));
  CHECK(session->pending() == (needs_all ? length : 0));
  check_pages(*session, model);
  CHECK(same_bits(first, timeline.continue_from(*session, length)));
  check_pages(*session, model);
}

TEST_CASE("windows: a truncation below what a window gave back computes the rest again, in its phases, to the same bits") {
  test::VulkanFixture vulkan;
  const Opened opened = open_two_groups(vulkan.device(), {.chunk = 64, .slab_bytes = 1 << 20, .page_fill = PageFill::poison});
  const MixedTimeline timeline{made_up_tokens(300, opened.model->hyperparameters().vocabulary_size), 150, 210};
  // At 300 tokens pages from slot 192 on are held: a query at slot 261 is the first whose window of 70 begins there.
  for (const uint32_t length : {299U, 270U, 261U}) check_truncation(*opened.model, timeline, length, false);
  for (const uint32_t length : {260U, 205U, 151U, 64U, 1U}) check_truncation(*opened.model, timeline, length, true);
  check_truncation(*opened.model, timeline, 0, false);
}

TEST_CASE("windows: Gemma's truncations below its window give the same bits") {
  if (!have("window truncation", kGemma3)) return;
  ModelUnderTest m(kGemma3, {.page_fill = PageFill::poison});
  const MixedTimeline timeline{made_up_tokens(584, 40000), 560, 565};
  // At 584 tokens pages from slot 64 on are held.
  check_truncation(*m.model, timeline, 575, false);
  check_truncation(*m.model, timeline, 562, true);
}

TEST_CASE("windows: splits of attention grow with the text only where all of it is seen") {
  for (const bool cpu : {false, true}) {
    Limits limits;
    limits.host_visible_device_memory = limits.on_processor = cpu;
    limits.subgroup_size = 8;
    const VariantSet variants = choose_variants(limits);
    for (const uint32_t window : {1U, 70U, 128U, 512U, 1024U}) {
      const uint32_t most = (window + variants.split_slots - 1) / variants.split_slots + 1;
      for (uint32_t slot = 0; slot < 20000; slot += 37) CHECK(split_count_for(variants, slot, window) <= most);
    }
    CHECK(split_count_for(variants, 19999, 0) == 19999 / variants.split_slots + 1);
  }
}

/// What one decode step's attention costs in layers of one kind: bytes of pages as dispatched, and the device's time.
struct AttentionCost {
  uint64_t bytes = 0;
  double us = 0;
  uint32_t layers = 0;
};

struct DecodeCost {
  AttentionCost local;
  AttentionCost global;
};

DecodeCost decode_cost(Device& device, Session& session, uint32_t token) {
  const Model& model = session.model();
  std::vector<bool> windowed(model.hyperparameters().block_count);
  for (const CacheGroup& group : model.cache_groups())
    for (const uint32_t layer : group.layers) windowed[layer] = group.window != 0;
  require_ok(device.take_timings());
  require_ok(session.append(std::span(&token, 1), Phase::generated));
  run({&session});
  DecodeCost cost;
  uint32_t layer = 0;
  for (const KernelTiming& timing : require_ok(device.take_timings())) {
    if (timing.kernel.id != KernelId::attend_decode) continue;
    REQUIRE(layer < windowed.size());
    AttentionCost& of_kind = windowed[layer++] ? cost.local : cost.global;
    of_kind.bytes += timing.work.bytes;
    of_kind.us += static_cast<double>(timing.gpu_ns) / 1000;
    ++of_kind.layers;
  }
  REQUIRE(layer == windowed.size());
  return cost;
}

void print_long_text(const Session& session, const Model& model, const DecodeCost& cost) {
  std::printf("%u tokens:", session.computed());
  for (uint32_t g = 0; g < model.cache_groups().size(); ++g) {
    const CacheGroup& group = model.cache_groups()[g];
    const HeldPages held = session.held_pages(g);
    const AttentionCost& attention = group.window != 0 ? cost.local : cost.global;
    std::printf(" %s %zu layers: %u pages, %llu bytes, attention %.0f us, %llu bytes visited;", group.window != 0 ? "windowed" : "global",
                group.layers.size(), held.count, static_cast<unsigned long long>(held.size_bytes), attention.us,
                static_cast<unsigned long long>(attention.bytes));
  }
  std::printf("\n");
}

// 6,000 tokens with QUIRE_GOLDENS=full; otherwise as many as show the difference.
TEST_CASE("windows: a long text of Gemma's grows in pages and in attention's work by its global layers alone") {
  if (!have("long text", kGemma3)) return;
  const char* goldens = std::getenv("QUIRE_GOLDENS");
  const bool full = goldens != nullptr && std::strcmp(goldens, "full") == 0;
  const std::vector<uint32_t> lengths = full ? std::vector<uint32_t>{600, 1500, 3000, 6000} : std::vector<uint32_t>{600, 1100};
  ModelUnderTest m(kGemma3, {.page_fill = PageFill::poison}, [](DeviceOptions& options) { options.timestamps = true; });
  const auto session = m.session();
  const std::vector<uint32_t> tokens = made_up_tokens(lengths.back(), 40000);
  uint64_t previous_global_bytes = 0;
  DecodeCost first;
  for (const uint32_t length : lengths) {
    const uint32_t done = session->computed();
    require_ok(session->append(std::span(tokens).subspan(done, length - 1 - done), Phase::prompt));
    run({session.get()});
    const DecodeCost cost = decode_cost(m.device(), *session, tokens[length - 1]);
    check_pages(*session, *m.model);
    print_long_text(*session, *m.model, cost);
    CHECK(cost.local.layers == 15);
    CHECK(cost.global.layers == 3);
    if (length == lengths.front()) first = cost;
    for (uint32_t g = 0; g < 2; ++g) {
      const CacheGroup& group = m.model->cache_groups()[g];
      const HeldPages held = session->held_pages(g);
      if (group.window != 0) continue;
      CHECK(held.count == (length + 63) / 64);
      CHECK(held.size_bytes > previous_global_bytes);
      previous_global_bytes = held.size_bytes;
    }
    // A window of 512 lies in four or five splits of 128.
    CHECK(cost.local.bytes <= first.local.bytes * 5 / 4);
    if (length > 2 * lengths.front()) CHECK(cost.global.bytes > 2 * first.global.bytes);
  }
  CHECK(require_ok(session->argmax()).non_finite == 0);
}

}  // namespace
}  // namespace quire::golden
