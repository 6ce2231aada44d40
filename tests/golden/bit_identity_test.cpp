// What must not change a bit on Vulkan with the real models: batching, chunking, earlier sessions, the barriers' placement.
#include <cstring>

#include "tests/golden/golden_support.hpp"

namespace quire::golden {
namespace {

/// `lead`: tokens just before Gemma's window of 512 is full, so that what follows passes it.
struct BitCase {
  const GoldenModel& model;
  uint32_t lead;
  PageFormats formats;
  Arithmetic arithmetic = Arithmetic::float32;

  /// Whether a test that varies a number of tokens or sessions takes the whole list: pages in q8 and prompts in int8 share all else with the first row.
  bool varies_widely() const { return formats.k == PageFormat::f16 && arithmetic == Arithmetic::float32; }
};
const BitCase kCases[] = {{kSmolLm2, 0, {}}, {kSmolLm2, 0, {PageFormat::q8, PageFormat::q8}}, {kGemma3, 505, {}}, {kSmolLm2, 0, {}, Arithmetic::int8}};

SessionOptions options_of(const BitCase& bit_case) { return {.formats = bit_case.formats}; }
ModelOptions model_options_of(const BitCase& bit_case) { return {.arithmetic = bit_case.arithmetic}; }

/// Runs `check` for every model that is there.
template <class F>
void for_each_model(const char* test, F&& check) {
  for (const BitCase& bit_case : kCases) {
    if (!have(test, bit_case.model)) continue;
    INFO(bit_case.model.name, ", keys in ", page_format_name(bit_case.formats.k), bit_case.arithmetic == Arithmetic::int8 ? ", prompts in int8" : "");
    check(bit_case);
  }
}

/// Distinct token sequences without meaning, the same in every run.
std::vector<uint32_t> made_up_tokens(uint32_t count, uint32_t seed) {
  std::vector<uint32_t> tokens(count);
  uint32_t state = seed * 2654435761U + 12345U;
  for (uint32_t& token : tokens) {
    state = state * 1664525U + 1013904223U;
    token = 100 + (state >> 8) % 40000;
  }
  return tokens;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// Logits after a prompt and after each of a few forced tokens, appended.
std::vector<float> timeline(Session& session, std::span<const uint32_t> prompt, std::span<const uint32_t> forced) {
  std::vector<float> all = logits_of(session, prompt, Phase::prompt);
  for (const uint32_t token : forced) {
    const std::vector<float> next = logits_of(session, std::span(&token, 1), Phase::generated);
    all.insert(all.end(), next.begin(), next.end());
  }
  return all;
}

void check_batch(ModelUnderTest& m, const BitCase& bit_case, uint32_t batch) {
  // A window is 512: session 1 of the middle batch decodes past it.
  const uint32_t lead = bit_case.lead != 0 && batch == 5 ? bit_case.lead + 5 : 0;
  std::vector<std::vector<uint32_t>> prompts;
  std::vector<std::vector<float>> alone;
  for (uint32_t i = 0; i < batch; ++i) {
    const uint32_t length = batch == 8 && i == 7 ? 140 : 3 + 9 * i;  // beyond a split
    prompts.push_back(made_up_tokens(i == 1 ? std::max(lead, length) : length, 7 * batch + i));
    alone.push_back(timeline(*m.session(options_of(bit_case)), prompts[i], made_up_tokens(3, i)));
  }
  std::vector<std::unique_ptr<Session>> together;
  std::vector<Session*> pointers;
  std::vector<std::vector<float>> answers(batch);
  for (uint32_t i = 0; i < batch; ++i) {
    together.push_back(m.session(options_of(bit_case)));
    pointers.push_back(together.back().get());
    require_ok(together[i]->append(prompts[i], Phase::prompt));
  }
  for (uint32_t step = 0; step < 4; ++step) {
    for (uint32_t i = 0; i < batch && step > 0; ++i) {
      const std::vector<uint32_t> forced = made_up_tokens(3, i);
      require_ok(together[i]->append(std::span(forced).subspan(step - 1, 1), Phase::generated));
    }
    require_ok(run_steps(pointers, kStepTimeout));
    for (uint32_t i = 0; i < batch; ++i) {
      const std::span<const float> logits = require_ok(together[i]->logits());
      answers[i].insert(answers[i].end(), logits.begin(), logits.end());
    }
  }
  for (uint32_t i = 0; i < batch; ++i) {
    INFO("batch ", batch, ", session ", i);
    CHECK(same_bits(alone[i], answers[i]));
  }
}

TEST_CASE("bits: sessions stepped together answer as each does alone, in batches of 2, 5 and 8") {
  for_each_model("batch bits", [](const BitCase& bit_case) {
    ModelUnderTest m(bit_case.model, model_options_of(bit_case));
    for (const uint32_t batch : {2U, 5U, 8U})
      if (batch == 8 || bit_case.varies_widely()) check_batch(m, bit_case, batch);
  });
}

TEST_CASE("bits: a prompt that begins in chunks of 1, 7, 32 or 100 tokens answers as in one") {
  constexpr size_t kMostChunks = 20;  // over the end of a page of 64, and of Gemma's window
  for_each_model("chunk bits", [](const BitCase& bit_case) {
    ModelUnderTest m(bit_case.model, model_options_of(bit_case));
    const uint32_t lead = bit_case.lead != 0 ? bit_case.lead : 55;
    const std::vector<uint32_t> prompt = made_up_tokens(lead + 150, 1);
    const std::vector<uint32_t> forced = made_up_tokens(3, 2);
    const std::vector<float> whole = timeline(*m.session(options_of(bit_case)), prompt, forced);
    for (const size_t chunk : {size_t{1}, size_t{7}, size_t{32}, size_t{100}}) {
      const bool rare = chunk == 1 || chunk == 32;
      if (rare && !bit_case.varies_widely()) continue;
      if (bit_case.lead != 0 && chunk != 1 && chunk != 100) continue;  // a long lead is computed anew for each
      const auto session = m.session(options_of(bit_case));
      logits_of(*session, std::span(prompt).first(lead), Phase::prompt);
      for (size_t at = lead, chunks = 0; at + chunk < prompt.size() && chunks < kMostChunks; at += chunk, ++chunks) {
        require_ok(session->append(std::span(prompt).subspan(at, chunk), Phase::prompt));
        run({session.get()});
      }
      const size_t done = session->computed();
      INFO("chunk ", chunk);
      CHECK(same_bits(whole, timeline(*session, std::span(prompt).subspan(done), forced)));
    }
  });
}

TEST_CASE("bits: a prompt and a generation stepped together answer as each alone") {
  for_each_model("mixed bits", [](const BitCase& bit_case) {
    ModelUnderTest m(bit_case.model, model_options_of(bit_case));
    const std::vector<uint32_t> prompt_a = made_up_tokens(70, 3), prompt_b = made_up_tokens(40, 4), forced = made_up_tokens(1, 5);
    const std::vector<float> alone_a = timeline(*m.session(options_of(bit_case)), prompt_a, forced);
    const std::vector<float> alone_b = timeline(*m.session(options_of(bit_case)), prompt_b, {});
    const auto a = m.session(options_of(bit_case)), b = m.session(options_of(bit_case));
    std::vector<float> together_a = logits_of(*a, prompt_a, Phase::prompt);
    require_ok(a->append(forced, Phase::generated));
    require_ok(b->append(prompt_b, Phase::prompt));
    run({a.get(), b.get()});
    const auto last_a = require_ok(a->logits());
    together_a.insert(together_a.end(), last_a.begin(), last_a.end());
    CHECK(same_bits(alone_a, together_a));
    CHECK(same_bits(alone_b, require_ok(b->logits())));
  });
}

TEST_CASE("bits: prompts answer alike whether the logits of all, some, the last or none of their positions are wanted") {
  struct Prompt {
    uint32_t length, wanted;
  };
  constexpr Prompt kPrompts[] = {{40, 1}, {70, 0}, {33, 20}, {50, 50}};
  for_each_model("wanted bits", [&](const BitCase& bit_case) {
    ModelUnderTest m(bit_case.model, model_options_of(bit_case));
    std::vector<std::unique_ptr<Session>> together;
    std::vector<Session*> pointers;
    for (const Prompt& prompt : kPrompts) {
      together.push_back(m.session(options_of(bit_case)));
      pointers.push_back(together.back().get());
      together.back()->request({.logits_last = prompt.wanted});
      require_ok(together.back()->append(made_up_tokens(prompt.length, prompt.length), Phase::prompt));
    }
    require_ok(run_steps(pointers, kStepTimeout));
    const std::vector<uint32_t> forced = made_up_tokens(1, 12);
    for (size_t i = 0; i < std::size(kPrompts); ++i) {
      const auto [length, wanted] = kPrompts[i];
      INFO("prompt of ", length, ", wanted ", wanted);
      const auto alone = m.session(options_of(bit_case));
      const std::vector<float> all = logits_of(*alone, made_up_tokens(length, length), Phase::prompt, length);
      if (wanted > 0) CHECK(same_bits(std::span(all).last(all.size() / length * wanted), require_ok(together[i]->logits())));
      CHECK(same_bits(logits_of(*alone, forced, Phase::generated), logits_of(*together[i], forced, Phase::generated)));
    }
  });
}

TEST_CASE("bits: a fresh and a reset session after other sessions' work equal a new device and model") {
  for_each_model("reset bits", [](const BitCase& bit_case) {
    const std::vector<uint32_t> prompt = made_up_tokens(90, 6), forced = made_up_tokens(2, 7);
    std::vector<float> first;
    {
      ModelUnderTest m(bit_case.model, model_options_of(bit_case));
      first = timeline(*m.session(options_of(bit_case)), prompt, forced);
    }
    ModelUnderTest m(bit_case.model, model_options_of(bit_case));
    const auto other = m.session(options_of(bit_case));
    timeline(*other, made_up_tokens(130, 8), made_up_tokens(4, 9));
    const auto reused = m.session(options_of(bit_case));
    timeline(*reused, made_up_tokens(77, 10), made_up_tokens(1, 11));
    require_ok(reused->reset());
    CHECK(same_bits(first, timeline(*reused, prompt, forced)));
    require_ok(other->truncate(0));
    CHECK(same_bits(first, timeline(*m.session(options_of(bit_case)), prompt, forced)));
  });
}

TEST_CASE("bits: after a truncation the same tokens give the same bits") {
  for_each_model("truncate bits", [](const BitCase& bit_case) {
    ModelUnderTest m(bit_case.model, model_options_of(bit_case));
    const std::vector<uint32_t> prompt = made_up_tokens(100, 12), forced = made_up_tokens(3, 13);
    const auto session = m.session(options_of(bit_case));
    const std::vector<float> first = timeline(*session, prompt, forced);
    require_ok(session->truncate(70));
    CHECK(same_bits(first, timeline(*session, std::span(prompt).subspan(70), forced)));
  });
}

TEST_CASE("bits: whole steps equal those with a full barrier before every command") {
  for_each_model("barrier bits", [](const BitCase& bit_case) {
    const std::vector<uint32_t> prompt = made_up_tokens(100, 14), forced = made_up_tokens(8, 15);
    std::vector<float> answers[2];
    for (const BarrierMode mode : {BarrierMode::tracked, BarrierMode::full}) {
      ModelUnderTest m(bit_case.model, model_options_of(bit_case), [mode](DeviceOptions& options) { options.barriers = mode; });
      answers[static_cast<size_t>(mode)] = timeline(*m.session(options_of(bit_case)), prompt, forced);
    }
    CHECK(same_bits(answers[0], answers[1]));
  });
}

}  // namespace
}  // namespace quire::golden
