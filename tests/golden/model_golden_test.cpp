// SmolLM2 on Vulkan against what an independent engine answers on the same file.
#include "tests/golden/golden_support.hpp"

namespace quire::golden {
namespace {

constexpr double kSmallestMargin = 0.05;

TEST_CASE("golden: greedy continuations through decode steps agree wherever the golden margin decides") {
  if (!have("greedy", kSmolLm2) || !have("greedy", kGoldens / "greedy.jsonl")) return;
  ModelUnderTest m;
  int rows = 0, decided = 0;
  for (const auto& row : read_lines(kGoldens / "greedy.jsonl")) {
    if (row["model"] != "smollm2") continue;
    const auto prompt = row["prompt_ids"].get<std::vector<uint32_t>>();
    const auto ids = row["ids"].get<std::vector<uint32_t>>();
    const auto margins = row["margins"].get<std::vector<double>>();
    const auto session = m.session();
    require_ok(session->append(prompt, Phase::prompt));
    run({session.get()});
    for (size_t i = 0; i < ids.size(); ++i) {
      const ArgmaxResult ours = require_ok(session->argmax());
      if (margins[i] >= kSmallestMargin) {
        INFO("text: ", row["text"].get<std::string>(), ", step ", i, ", margin ", margins[i]);
        CHECK(ours.index == ids[i]);
        ++decided;
      }
      require_ok(session->append(std::span(&ids[i], 1), Phase::generated));
      run({session.get()});
    }
    ++rows;
  }
  std::printf("greedy: %d rows, %d decided steps\n", rows, decided);
  CHECK(rows > 0);
  CHECK(decided > 100);
}

TEST_CASE("golden: logits of prompts have a mean KL divergence of at most 1e-4 with f16 pages") {
  if (!have("logits", kSmolLm2) || !have("logits", kGoldens / "logits/index.json")) return;
  ModelUnderTest m;
  const uint32_t vocabulary = m.model->hyperparameters().vocabulary_size;
  std::ifstream in(kGoldens / "logits/index.json");
  int compared = 0;
  for (const auto& entry : nlohmann::json::parse(in)) {
    if (entry["model"] != "smollm2") continue;
    const auto ids = entry["ids"].get<std::vector<uint32_t>>();
    const auto positions = entry["positions"].get<uint32_t>();
    REQUIRE(entry["vocab"].get<uint32_t>() == vocabulary);
    const std::vector<float> golden = read_floats(kGoldens / "logits" / std::filesystem::path(entry["file"].get<std::string>()).filename());
    for (const Phase phase : {Phase::prompt, Phase::generated}) {
      const auto session = m.session();
      // The one-token kernels are compared on the last positions: what precedes them is a prompt.
      const size_t decoded = phase == Phase::generated ? positions : 0;
      if (decoded > 0 && decoded < ids.size()) logits_of(*session, std::span(ids).first(ids.size() - decoded), Phase::prompt);
      const size_t rest = decoded > 0 && decoded < ids.size() ? decoded : ids.size();
      const std::vector<float> ours = logits_of(*session, std::span(ids).last(rest), phase, positions);
      REQUIRE(ours.size() == golden.size());
      double sum = 0, largest = 0;
      for (uint32_t p = 0; p < positions; ++p) {
        const double kl = kl_divergence(std::span(golden).subspan(size_t{p} * vocabulary, vocabulary), std::span(ours).subspan(size_t{p} * vocabulary, vocabulary));
        sum += kl;
        largest = std::max(largest, kl);
      }
      std::printf("KL %s %s: mean %.3g, largest %.3g over %u positions\n", entry["name"].get<std::string>().c_str(),
                  phase == Phase::prompt ? "prompt" : "generated", sum / positions, largest, positions);
      CHECK(sum / positions <= 1e-4);
    }
    ++compared;
  }
  CHECK(compared > 0);
}

TEST_CASE("golden: perplexity of the short text is within 0.3 % with f16 pages") {
  if (!have("perplexity", kSmolLm2) || !have("perplexity", kGoldens / "perplexity.json")) return;
  ModelUnderTest m;
  const uint32_t vocabulary = m.model->hyperparameters().vocabulary_size;
  std::ifstream in(kGoldens / "perplexity.json");
  for (const auto& row : nlohmann::json::parse(in)) {
    if (row["model"] != "smollm2" || row["tokens"].get<uint32_t>() != 2048) continue;
    std::ifstream text_file(kGoldens / "text" / row["text"].get<std::string>(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(text_file)), {});
    std::vector<uint32_t> ids = require_ok(m.model->tokenizer().encode(text, SpecialTokens::ignore));
    const auto context = row["context"].get<uint32_t>();
    ids.resize(row["tokens"].get<uint32_t>());
    double negative_log_likelihood = 0;
    uint32_t scored = 0;
    for (size_t begin = 0; begin + context <= ids.size(); begin += context) {
      const auto session = m.session();
      const std::vector<float> logits = logits_of(*session, std::span(ids).subspan(begin, context), Phase::prompt, context / 2);
      for (uint32_t p = context / 2; p + 1 < context; ++p) {
        const auto at = std::span(logits).subspan(size_t{p - context / 2} * vocabulary, vocabulary);
        negative_log_likelihood += log_sum_exp(at) - at[ids[begin + p + 1]];
        ++scored;
      }
    }
    const double perplexity = std::exp(negative_log_likelihood / scored);
    const auto golden = row["perplexity"].get<double>();
    std::printf("perplexity: %.6f, golden %.6f (%+.4f %%), %u tokens scored\n", perplexity, golden, 100 * (perplexity / golden - 1), scored);
    CHECK(std::abs(perplexity / golden - 1) <= 0.003);
  }
}

}  // namespace
}  // namespace quire::golden
