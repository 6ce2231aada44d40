// The same generation with the cache, and with the whole prefix computed anew for each token.
#include <algorithm>
#include <cstdio>
#include <limits>

#include "bench_report.hpp"
#include "terminal.hpp"

namespace quire_app {
namespace {

// Between the two best logits: where it is smaller, the roundings of prompt and generated tokens may choose differently.
constexpr double kMargin = 0.05, kMarginOfQ8 = 0.5;
constexpr uint32_t kWarmUpTokens = 4;

/// The run with the cache: step i chose tokens[prompt + i].
struct Generation {
  uint32_t prompt = 0;
  std::vector<uint32_t> tokens;
  std::vector<double> seconds;       ///< of each step
  std::vector<double> margins;       ///< between the two best logits of each step
  double least_margin = kMargin;     ///< where tokens must be equal
};

struct Recomputed {
  uint32_t step = 0;
  double seconds = 0;
  uint32_t token = 0;
};

Outcome check(const quire_cpp::Session& session, quire_status status) {
  return status == QUIRE_OK ? Outcome{} : failure(status, Doing::generation, quire_session_last_error(session.get()));
}

/// Appends, computes and chooses the next token.
Outcome next_token(const quire_cpp::Session& session, const uint32_t* tokens, size_t count, quire_phase phase, uint32_t& token, double& seconds) {
  const Clock::time_point start = Clock::now();
  QUIRE_APP_TRY(check(session, quire_session_append(session.get(), tokens, count, phase)));
  QUIRE_APP_TRY(check(session, quire_session_run(session.get(), keep_going_unless_interrupted, nullptr)));
  QUIRE_APP_TRY(check(session, quire_session_sample(session.get(), nullptr, &token)));
  seconds = seconds_since(start);
  return {};
}

Outcome margin_of(const quire_cpp::Session& session, uint32_t vocabulary, double& margin) {
  const float* logits = nullptr;
  uint32_t rows = 0;
  QUIRE_APP_TRY(check(session, quire_session_get_logits(session.get(), &logits, &rows)));
  logits += size_t{rows - 1} * vocabulary;
  float best = -std::numeric_limits<float>::infinity(), second = best;
  for (uint32_t i = 0; i < vocabulary; ++i) {
    second = std::max(second, std::min(best, logits[i]));
    best = std::max(best, logits[i]);
  }
  margin = double{best} - double{second};
  return {};
}

Outcome generate_with_cache(const quire_cpp::Session& session, std::vector<uint32_t> prompt, uint32_t count, uint32_t vocabulary, Generation& generation) {
  QUIRE_APP_TRY(check(session, quire_session_reset(session.get())));
  generation = {};
  generation.prompt = static_cast<uint32_t>(prompt.size());
  generation.tokens = std::move(prompt);
  for (uint32_t i = 0; i < count; ++i) {
    const size_t first = i == 0 ? 0 : generation.tokens.size() - 1;
    uint32_t token = 0;
    QUIRE_APP_TRY(next_token(session, generation.tokens.data() + first, generation.tokens.size() - first, i == 0 ? QUIRE_PHASE_PROMPT : QUIRE_PHASE_GENERATED,
                             token, generation.seconds.emplace_back()));
    QUIRE_APP_TRY(margin_of(session, vocabulary, generation.margins.emplace_back()));
    generation.tokens.push_back(token);
  }
  return {};
}

Outcome recompute(const quire_cpp::Session& session, const Generation& generation, Recomputed& at) {
  QUIRE_APP_TRY(check(session, quire_session_reset(session.get())));
  return next_token(session, generation.tokens.data(), generation.prompt + at.step, QUIRE_PHASE_PROMPT, at.token, at.seconds);
}

/// The steps to recompute: the first, the last before each length, and evenly between them.
std::vector<uint32_t> steps_to_recompute(const std::vector<uint32_t>& lengths, uint32_t positions) {
  std::vector<uint32_t> steps = {0};
  uint32_t begin = 0;
  for (const uint32_t end : lengths) {
    const uint64_t span = end - begin;
    const uint64_t count = positions == 0 ? span : std::min<uint64_t>(positions, span);
    for (uint64_t k = 1; k <= count; ++k) {
      const uint32_t step = begin + static_cast<uint32_t>((k * span + count - 1) / count) - 1;
      if (step > steps.back()) steps.push_back(step);
    }
    begin = end;
  }
  return steps;
}

/// Seconds of all steps after a's up to b's, on the line between them.
double seconds_between(const Recomputed& a, const Recomputed& b) {
  const double steps = b.step - a.step;
  return steps * a.seconds + (b.seconds - a.seconds) * (steps + 1) / 2;
}

/// A row for each length, and the points of the plot: totals up to each recomputed step.
void add_totals(const Generation& generation, const std::vector<Recomputed>& recomputed, const std::vector<uint32_t>& lengths, Json& result) {
  Json rows = Json::array(), points = Json::array();
  double with_s = 0, without_s = 0;
  uint32_t summed = 0, checked = 0, equal = 0;
  for (size_t i = 0; i < recomputed.size(); ++i) {
    const Recomputed& at = recomputed[i];
    without_s += i == 0 ? at.seconds : seconds_between(recomputed[i - 1], at);
    for (; summed <= at.step; ++summed) with_s += generation.seconds[summed];
    if (generation.margins[at.step] >= generation.least_margin) {
      ++checked;
      equal += at.token == generation.tokens[generation.prompt + at.step] ? 1u : 0u;
    }
    points.push_back({{"generated", at.step + 1}, {"with_s", with_s}, {"without_s", without_s}, {"step_with_s", generation.seconds[at.step]}, {"step_without_s", at.seconds}});
    if (std::find(lengths.begin(), lengths.end(), at.step + 1) != lengths.end())
      rows.push_back({{"generated", at.step + 1}, {"with_s", with_s}, {"without_s", without_s}, {"ratio", without_s / with_s}, {"measured", i + 1}, {"checked", checked}, {"equal", equal}});
  }
  result["lengths"] = std::move(rows);
  result["points"] = std::move(points);
}

void add_differences(const Generation& generation, const std::vector<Recomputed>& recomputed, Json& result) {
  uint32_t near_ties = 0, near_ties_equal = 0;
  Json differences = Json::array();
  for (const Recomputed& at : recomputed) {
    const uint32_t expected = generation.tokens[generation.prompt + at.step];
    const double margin = generation.margins[at.step];
    if (margin < generation.least_margin) {
      ++near_ties;
      near_ties_equal += at.token == expected ? 1u : 0u;
    } else if (at.token != expected) {
      differences.push_back({{"generated", at.step + 1}, {"with", expected}, {"without", at.token}, {"margin", margin}});
    }
  }
  result["margin"] = generation.least_margin;
  result["near_ties"] = near_ties;
  result["near_ties_equal"] = near_ties_equal;
  result["differences"] = std::move(differences);
}

std::vector<uint32_t> lengths_of(const BenchFlags& flags) {
  std::vector<uint32_t> lengths = flags.generated.empty() ? std::vector<uint32_t>{64, 256, 1024} : flags.generated;
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  return lengths;
}

}  // namespace

Outcome measure_no_cache(const BenchFlags& flags, Json& report) {
  const std::vector<uint32_t> lengths = lengths_of(flags);
  if (flags.prompts.size() > 1 || flags.formats.size() > 1) return failure(kExitUsage, "--no-cache takes one number of prompt tokens and one page format");
  const uint32_t prompt = flags.prompts.empty() ? 64 : flags.prompts[0];
  if (prompt == 0 || lengths[0] == 0) return failure(kExitUsage, "--no-cache needs at least one token in -p and in each length of -n");
  BenchRig rig;
  QUIRE_APP_TRY(rig.open(flags.model, KernelTimes::off));
  if (uint64_t{prompt} + lengths.back() > rig.info().context_length)
    return failure(kExitUsage, "a prompt of " + std::to_string(prompt) + " tokens and " + std::to_string(lengths.back()) + " generated ones do not fit the context of " +
                                   std::to_string(rig.info().context_length) + " tokens");
  ModelFlags model = flags.model;
  if (!flags.formats.empty()) model.kv = flags.formats[0];
  quire_cpp::Session with, without;
  QUIRE_APP_TRY(open_session(model, rig.model(), with));
  QUIRE_APP_TRY(open_session(model, rig.model(), without));

  const std::vector<uint32_t> ids = rig.prompt(0, prompt);
  Generation generation;
  QUIRE_APP_TRY(generate_with_cache(with, ids, std::min(kWarmUpTokens, lengths.back()), rig.info().vocabulary, generation));
  QUIRE_APP_TRY(generate_with_cache(with, ids, lengths.back(), rig.info().vocabulary, generation));
  const std::string k = model.kv_k.empty() ? model.kv : model.kv_k, v = model.kv_v.empty() ? model.kv : model.kv_v;
  if (k == "q8" || v == "q8") generation.least_margin = kMarginOfQ8;
  Recomputed warm_up;
  QUIRE_APP_TRY(recompute(without, generation, warm_up));
  std::vector<Recomputed> recomputed;
  ProgressBar bar("recomputing");
  const std::vector<uint32_t> steps = steps_to_recompute(lengths, flags.positions);
  for (const uint32_t step : steps) {
    Recomputed& at = recomputed.emplace_back();
    at.step = step;
    QUIRE_APP_TRY(recompute(without, generation, at));
    bar.update(recomputed.size(), steps.size());
  }

  report = describe_run(rig, flags.model);
  Json& result = report["no_cache"];
  result["prompt"] = prompt;
  result["kv_k"] = k;
  result["kv_v"] = v;
  result["interpolated"] = steps.size() < lengths.back();
  add_totals(generation, recomputed, lengths, result);
  add_differences(generation, recomputed, result);
  return {};
}

Outcome check_tokens(const Json& report) {
  const Json& differences = report["no_cache"]["differences"];
  if (differences.empty()) return {};
  char line[256];
  const Json& first = differences[0];
  std::snprintf(line, sizeof line, "%zu tokens differ without the cache; the first is generated token %u: %u with it, %u without, with the two best logits %.3f apart",
                differences.size(), first["generated"].get<uint32_t>(), first["with"].get<uint32_t>(), first["without"].get<uint32_t>(), first["margin"].get<double>());
  return failure(kExitRuntime, line);
}

}  // namespace quire_app
