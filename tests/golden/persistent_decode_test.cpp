// Generating with one dispatch a token: the bits of the ordinary step with the real model, and what happens where it cannot be done or is abandoned.
#include <cstring>

#include "tests/golden/golden_support.hpp"

namespace quire::golden {
namespace {

constexpr uint32_t kGenerated = 64;

ModelOptions persistent_options() {
  ModelOptions options;
  options.persistent_decode = PersistentChoice::if_possible;
  return options;
}

/// Logits after a prompt and after each of `count` greedily chosen tokens, appended. The usual prompt ends near a page's and a split's end.
std::vector<float> greedy_logits(Session& session, uint32_t count, uint32_t prompt_length = 100) {
  std::vector<uint32_t> prompt(prompt_length);
  for (uint32_t i = 0; i < prompt.size(); ++i) prompt[i] = 100 + i * 7919 % 40000;
  std::vector<float> next = logits_of(session, prompt, Phase::prompt), all = next;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t token = index_of_largest(next);
    next = logits_of(session, std::span(&token, 1), Phase::generated);
    all.insert(all.end(), next.begin(), next.end());
  }
  return all;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

TEST_CASE("persistent: 64 generated tokens have the bits of ordinary steps; abandoned steps too, and after three there are no more; a failed probe is said") {
  if (!have("persistent bits", kSmolLm2)) return;
  std::vector<float> ordinary;
  {
    ModelUnderTest m(kSmolLm2);
    ordinary = greedy_logits(*m.session(), kGenerated);
    CHECK(m.model->persistent_decode().why_not == "turned off");
    CHECK(m.model->persistent_decode().step_count == 0);
  }
  {
    ModelUnderTest m(kSmolLm2, persistent_options());
    const PersistentReport& report = m.model->persistent_decode();
    if (!report.why_not.empty()) {
      std::printf("SKIP persistent bits: %s\n", report.why_not.c_str());
      return;
    }
    CHECK(report.worker_count >= 2);
    CHECK(same_bits(ordinary, greedy_logits(*m.session(), kGenerated)));
    CHECK(report.step_count == kGenerated);
    CHECK(report.abandoned_count == 0);
    // A second session has programs of its own, and the first one's still hold.
    const auto other = m.session();
    CHECK(same_bits(ordinary, greedy_logits(*other, kGenerated)));
    CHECK(report.step_count == 2 * kGenerated);
  }
  {
    ModelOptions options = persistent_options();
    options.persistent_spin_bound = 0;
    ModelUnderTest m(kSmolLm2, options);
    const PersistentReport& report = m.model->persistent_decode();
    REQUIRE(report.why_not == "");
    const std::vector<float> answers = greedy_logits(*m.session(), 5);
    CHECK(same_bits(std::span(ordinary).first(answers.size()), answers));
    CHECK(report.abandoned_count == 3);
    CHECK(report.step_count == 0);
    CHECK(report.why_not == "three steps were abandoned: a part of each did not end in time");
  }
  {
    ModelOptions options = persistent_options();
    options.persistent_probe_spin_bound = 0;
    ModelUnderTest m(kSmolLm2, options);
    CHECK(m.model->persistent_decode().why_not == "no two workgroups were seen to run at the same time");
    const std::vector<float> answers = greedy_logits(*m.session(), 2);
    CHECK(same_bits(std::span(ordinary).first(answers.size()), answers));
    CHECK(m.model->persistent_decode().step_count == 0);
  }
}

TEST_CASE("persistent: a step that is polled runs again when it was abandoned") {
  if (!have("persistent poll", kSmolLm2)) return;
  ModelOptions options = persistent_options();
  options.persistent_spin_bound = 0;
  ModelUnderTest m(kSmolLm2, options);
  if (!m.model->persistent_decode().why_not.empty()) return;
  const auto session = m.session();
  greedy_logits(*session, 0);
  const uint32_t token = 17;
  require_ok(session->append(std::span(&token, 1), Phase::generated));
  Session* const sessions[] = {session.get()};
  Step step = require_ok(Step::begin(sessions));
  while (!require_ok(step.poll())) {
  }
  CHECK(m.model->persistent_decode().abandoned_count == 1);
  CHECK(session->computed() == 100);
  require_ok(step.finish(kStepTimeout));
  CHECK(session->computed() == 101);
}

TEST_CASE("persistent: windows, norms of heads and of what a layer adds, five weight types and q8 values have the bits of ordinary steps, too") {
  if (!have("persistent gemma", kGemma3)) return;
  const SessionOptions formats{.formats = {PageFormat::f16, PageFormat::q8}};
  constexpr uint32_t kTokens = 12, kPrompt = 520;  // the window of 512 moves over a page's end
  ModelUnderTest m(kGemma3, persistent_options());
  const PersistentReport& report = m.model->persistent_decode();
  if (!report.why_not.empty()) {
    std::printf("SKIP persistent gemma: %s\n", report.why_not.c_str());
    return;
  }
  const std::vector<float> persistent = greedy_logits(*m.session(formats), kTokens, kPrompt);
  CHECK(report.step_count == kTokens);
  ModelUnderTest ordinary(kGemma3);
  CHECK(same_bits(greedy_logits(*ordinary.session(formats), kTokens, kPrompt), persistent));
}

TEST_CASE("persistent: sessions that step together take the ordinary step, with the bits that each has alone") {
  if (!have("persistent batch", kSmolLm2)) return;
  ModelUnderTest m(kSmolLm2, persistent_options());
  if (!m.model->persistent_decode().why_not.empty()) {
    std::printf("SKIP persistent batch: %s\n", m.model->persistent_decode().why_not.c_str());
    return;
  }
  const auto alone = m.session(), one = m.session(), other = m.session();
  const std::vector<float> expected = greedy_logits(*alone, 1);
  for (const auto& session : {one.get(), other.get()}) greedy_logits(*session, 0);
  const size_t vocabulary = expected.size() / 2;
  const uint32_t token = index_of_largest(std::span(expected).first(vocabulary));
  for (const auto& session : {one.get(), other.get()}) require_ok(session->append(std::span(&token, 1), Phase::generated));
  run({one.get(), other.get()});
  CHECK(m.model->persistent_decode().step_count == 1);
  for (const auto& session : {one.get(), other.get()}) CHECK(same_bits(require_ok(session->logits()), std::span(expected).last(vocabulary)));
}

}  // namespace
}  // namespace quire::golden
