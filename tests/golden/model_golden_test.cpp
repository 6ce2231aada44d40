// The real models on Vulkan against what an independent engine answers on the same files; perplexities are eval_test.py's.
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "tests/golden/golden_support.hpp"

namespace quire::golden {
namespace {

/// What one model has to keep with one page format: the rules are the goldens' own.
struct GoldenBound {
  const GoldenModel& model;
  PageFormat format;
  double smallest_margin;        ///< of the golden logits: below it either token may win
  double mean_kl;                ///< nats
  Arithmetic arithmetic = Arithmetic::float32;
};
const GoldenBound kBounds[] = {
    {kSmolLm2, PageFormat::f16, 0.05, 1e-4},
    {kGemma3, PageFormat::f16, 0.05, 1e-4},
    {kSmolLm2, PageFormat::q8, 0.5, 1e-3},
    {kGemma3, PageFormat::q8, 0.5, 1e-3},
};

/// 8-bit activations are for whoever asks for them: other results, no further away than this.
const GoldenBound kInt8Bounds[] = {
    {kSmolLm2, PageFormat::f16, 0, 5e-3, Arithmetic::int8},
    {kGemma3, PageFormat::f16, 0, 5e-3, Arithmetic::int8},
};

SessionOptions in_format(const GoldenBound& bound) { return {.formats = {bound.format, bound.format}}; }

std::string title(const GoldenBound& bound) {
  return bound.model.name + " " + std::string(page_format_name(bound.format)) + (bound.arithmetic == Arithmetic::int8 ? " int8" : "");
}

/// Runs `check` for every row of the table whose model is there.
template <class F>
void for_each_bound(const char* test, const std::filesystem::path& golden, F&& check, std::span<const GoldenBound> bounds = kBounds) {
  if (!have(test, golden)) return;
  for (const GoldenBound& bound : bounds) {
    if (!have(test, bound.model)) continue;
    ModelUnderTest m(bound.model, {.arithmetic = bound.arithmetic});
    INFO(title(bound));
    check(bound, m);
  }
}

std::vector<nlohmann::json> read_lines(const std::filesystem::path& path) {
  std::vector<nlohmann::json> rows;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

/// Rows as long as each other, their sequences stepped together. Gives how many tokens the golden margins decide.
int check_greedy_rows(ModelUnderTest& m, const GoldenBound& bound, std::span<const nlohmann::json> rows) {
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Session*> together;
  for (const nlohmann::json& row : rows) {
    sessions.push_back(m.session(in_format(bound)));
    together.push_back(sessions.back().get());
    require_ok(together.back()->append(row["prompt_ids"].get<std::vector<uint32_t>>(), Phase::prompt));
  }
  require_ok(run_steps(together, kStepTimeout));
  int decided = 0;
  for (size_t i = 0; i < rows[0]["ids"].size(); ++i) {
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto id = rows[r]["ids"].at(i).get<uint32_t>();
      const auto margin = rows[r]["margins"].at(i).get<double>();
      if (margin >= bound.smallest_margin) {
        INFO("text: ", rows[r]["text"].get<std::string>(), ", step ", i, ", margin ", margin);
        CHECK(require_ok(sessions[r]->argmax()).index == id);
        ++decided;
      }
      require_ok(sessions[r]->append(std::span(&id, 1), Phase::generated));
    }
    require_ok(run_steps(together, kStepTimeout));
  }
  return decided;
}

TEST_CASE("golden: greedy continuations through decode steps, one by one and together, agree wherever the golden margin decides") {
  for_each_bound("greedy", kGoldens / "greedy.jsonl", [](const GoldenBound& bound, ModelUnderTest& m) {
    std::vector<nlohmann::json> rows;
    for (const auto& row : read_lines(kGoldens / "greedy.jsonl"))
      if (row["model"] == bound.model.name) rows.push_back(row);
    REQUIRE(rows.size() >= 5);
    const std::span all(rows);
    int decided = 0;
    const size_t alone = bound.format == PageFormat::f16 ? 2 : 0;
    for (size_t at = 0; at < alone; ++at) decided += check_greedy_rows(m, bound, all.subspan(at, 1));
    decided += check_greedy_rows(m, bound, all.subspan(alone));
    std::printf("greedy %s: %zu rows, %d decided steps\n", title(bound).c_str(), rows.size(), decided);
    CHECK(decided > 100);
  });
}

void check_divergence(ModelUnderTest& m, const GoldenBound& bound, const nlohmann::json& entry) {
  const uint32_t vocabulary = m.model->hyperparameters().vocabulary_size;
  const auto ids = entry["ids"].get<std::vector<uint32_t>>();
  const auto positions = entry["positions"].get<uint32_t>();
  REQUIRE(entry["vocab"].get<uint32_t>() == vocabulary);
  const std::vector<float> golden = read_floats(kGoldens / "logits" / std::filesystem::path(entry["file"].get<std::string>()).filename());
  const auto session = m.session(in_format(bound));
  REQUIRE(ids.size() >= positions);
  const auto before = static_cast<uint32_t>(ids.size()) - positions;
  if (before > 0) logits_of(*session, std::span(ids).first(before), Phase::prompt);
  for (const Phase phase : {Phase::prompt, Phase::generated}) {  // the same positions in turn, by the kernels of many tokens and of one
    if (phase == Phase::generated && bound.arithmetic == Arithmetic::int8) continue;  // 8-bit arithmetic is that of many tokens alone
    const std::vector<float> ours = logits_of(*session, std::span(ids).subspan(before), phase, positions);
    require_ok(session->truncate(before));
    REQUIRE(ours.size() == golden.size());
    double sum = 0, largest = 0;
    for (size_t at = 0; at < golden.size(); at += vocabulary) {
      const double kl = kl_divergence(std::span(golden).subspan(at, vocabulary), std::span(ours).subspan(at, vocabulary));
      sum += kl;
      largest = std::max(largest, kl);
    }
    std::printf("KL %s, %s of %zu tokens, %s: mean %.3g, largest %.3g over %u positions\n", title(bound).c_str(),
                entry["name"].get<std::string>().c_str(), ids.size(), phase == Phase::prompt ? "prompt" : "generated", sum / positions, largest, positions);
    CHECK(sum / positions <= bound.mean_kl);
  }
}

void check_divergences(const GoldenBound& bound, ModelUnderTest& m) {
  std::ifstream in(kGoldens / "logits/index.json");
  int compared = 0;
  for (const auto& entry : nlohmann::json::parse(in)) {
    if (entry["model"] != bound.model.name) continue;
    check_divergence(m, bound, entry);
    ++compared;
  }
  CHECK(compared >= 2);
}

TEST_CASE("golden: logits of prompts and of decode steps have a small mean KL divergence") {
  for_each_bound("logits", kGoldens / "logits/index.json", check_divergences);
}

TEST_CASE("golden: with prompts in 8-bit integers the mean KL divergence is at most 5e-3") {
  for_each_bound("logits in 8-bit integers", kGoldens / "logits/index.json", check_divergences, kInt8Bounds);
}

/// Kernels of a prompt, or of generated tokens.
struct KernelCounts {
  uint32_t quantize_columns = 0;
  uint32_t matmul_int8 = 0;
  uint32_t matmul_in_floats = 0;  ///< of weights that have scales, many tokens at once
};

KernelCounts count_kernels(ModelUnderTest& m, Session& session, Phase phase) {
  const std::vector<uint32_t> tokens = {100, 200, 300, 400, 500};
  require_ok(m.device().take_timings());
  logits_of(session, tokens, phase);
  KernelCounts counts;
  for (const KernelTiming& timing : require_ok(m.device().take_timings())) {
    counts.quantize_columns += timing.kernel.id == KernelId::quantize_columns ? 1U : 0U;
    counts.matmul_int8 += timing.kernel.id == KernelId::matmul_int8 ? 1U : 0U;
    const bool many = timing.kernel.id == KernelId::matmul_many || timing.kernel.id == KernelId::matmul_cooperative;
    counts.matmul_in_floats += many && weight_type_info(timing.kernel.weight).has_scales() ? 1U : 0U;
  }
  return counts;
}

TEST_CASE("golden: a prompt in 8-bit integers quantizes four activations a layer for all products of weights with scales; other steps none") {
  for (const GoldenModel* golden : {&kSmolLm2, &kGemma3}) {
    if (!have("kernels in 8-bit integers", *golden)) continue;
    INFO(golden->name);
    for (const Arithmetic arithmetic : {Arithmetic::int8, Arithmetic::float32}) {
      ModelUnderTest m(*golden, {.arithmetic = arithmetic}, [](DeviceOptions& options) { options.timestamps = true; });
      const uint32_t activations = arithmetic == Arithmetic::int8 ? 4 * m.model->hyperparameters().block_count : 0;
      const auto session = m.session();
      const KernelCounts prompt = count_kernels(m, *session, Phase::prompt), generated = count_kernels(m, *session, Phase::generated);
      CHECK(prompt.quantize_columns == activations);
      CHECK(prompt.matmul_int8 >= activations);
      CHECK((prompt.matmul_in_floats == 0) == (arithmetic == Arithmetic::int8));
      CHECK(generated.quantize_columns + generated.matmul_int8 + generated.matmul_in_floats == 0);
    }
  }
}

}  // namespace
}  // namespace quire::golden
