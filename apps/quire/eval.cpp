// quire eval: perplexity of a text, and how far the answers are from those of another run.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

#include "generation.hpp"
#include "host.hpp"
#include "logits_file.hpp"
#include "model_names.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

constexpr uint32_t kDefaultContext = 512;
constexpr uint32_t kLeastContext = 4;
/// Logits read back at a time. How a prompt is cut changes no bit of them.
constexpr uint64_t kPieceBytes = uint64_t{64} << 20;

struct EvalFlags {
  ModelFlags model;                 ///< its context_length is that of a chunk
  std::string text;
  uint32_t tokens = 0;              ///< 0: all
  std::string logits, compare;
  bool json = false;
};

/// Mean of a quantity over scored tokens, and the standard error of that mean, as llama-perplexity computes both.
class Mean {
 public:
  void add(double value) {
    sum_ += value;
    squares_ += value * value;
    ++count_;
  }
  uint64_t count() const { return count_; }
  double value() const { return sum_ / static_cast<double>(count_); }
  double error() const {
    const double variance = std::max(squares_ / static_cast<double>(count_) - value() * value(), 0.0);
    return std::sqrt(variance / static_cast<double>(count_ - 1));
  }

 private:
  double sum_ = 0, squares_ = 0;
  uint64_t count_ = 0;
};

/// The answer after one token.
struct Scored {
  double log_sum = 0;               ///< logarithm of the sum of all exponentials
  uint32_t best = 0;                ///< the lowest id among equals
};

Scored score(std::span<const float> logits) {
  Scored scored;
  for (uint32_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[scored.best]) scored.best = i;
  const double top = logits[scored.best];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  scored.log_sum = top + std::log(sum);
  return scored;
}

/// KL(base || ours) in nats, in double precision.
double kl_divergence(std::span<const float> base, const Scored& base_scored, std::span<const float> ours, const Scored& our_scored) {
  double weighted = 0;
  for (size_t i = 0; i < base.size(); ++i) weighted += std::exp(base[i] - base_scored.log_sum) * (double{base[i]} - double{ours[i]});
  return weighted + our_scored.log_sum - base_scored.log_sum;
}

/// What a run is compared with, row by row.
struct Comparison {
  LogitsReader file;
  Mean loss;                        ///< negative log-likelihood of the text by the file's answers
  Mean kl;
  std::vector<double> divergences;
  uint64_t same_best = 0;
  std::vector<float> row;

  Outcome add(std::span<const float> ours, const Scored& our_scored, uint32_t next) {
    row.resize(ours.size());
    QUIRE_APP_TRY(file.read_row(row));
    const Scored scored = score(row);
    if (!std::isfinite(scored.log_sum)) return failure(kExitRuntime, "the file to compare with has a logit that is not finite");
    const double divergence = kl_divergence(row, scored, ours, our_scored);
    loss.add(scored.log_sum - row[next]);
    kl.add(divergence);
    divergences.push_back(divergence);
    same_best += scored.best == our_scored.best ? 1 : 0;
    return {};
  }
  /// The smallest divergence that at least this share of all tokens does not exceed.
  double percentile(double share) {
    const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(divergences.size())));
    const auto at = divergences.begin() + static_cast<std::ptrdiff_t>(std::max<size_t>(rank, 1) - 1);
    std::nth_element(divergences.begin(), at, divergences.end());
    return *at;
  }
};

class Evaluation {
 public:
  Outcome run(const EvalFlags& flags);

 private:
  Outcome open(const EvalFlags& flags);
  Outcome take_ids(const EvalFlags& flags, LogitsHeader& question);
  Outcome compute(uint32_t chunk, ProgressBar& bar);
  Outcome compute_piece(std::span<const uint32_t> tokens, uint32_t rows);
  Outcome add_rows(std::span<const uint32_t> next);
  Outcome report(const EvalFlags& flags);
  Outcome check(quire_status status) const {
    return status == QUIRE_OK ? Outcome{} : failure(status, Doing::generation, quire_session_last_error(session_.get()));
  }

  quire_cpp::Engine engine_;
  quire_cpp::Model model_;
  quire_cpp::Session session_;
  LogitsHeader question_;
  LogitsWriter writer_;
  std::unique_ptr<Comparison> comparison_;
  Mean loss_;
};

Outcome read_text(const std::string& path, std::string& text) {
  if (path == "-") return read_all_input(text);
  const FileHandle file(std::fopen(path.c_str(), "rb"));
  char block[65536];
  while (file != nullptr && std::feof(file.get()) == 0 && std::ferror(file.get()) == 0) text.append(block, std::fread(block, 1, sizeof block, file.get()));
  if (file != nullptr && std::ferror(file.get()) == 0) return {};
  return failure(kExitRuntime, "cannot read " + path + ": " + std::strerror(errno));
}

Outcome Evaluation::take_ids(const EvalFlags& flags, LogitsHeader& question) {
  std::string text;
  QUIRE_APP_TRY(read_text(flags.text, text));
  std::vector<uint32_t> none;
  quire_status status = quire_cpp::tokenize(model_, text, 0, question.ids);
  if (status == QUIRE_OK) status = quire_cpp::tokenize(model_, "", QUIRE_TOKENIZE_BOS, none);
  if (status != QUIRE_OK) return failure(status, Doing::generation, quire_model_last_error(model_.get()));
  if (!none.empty()) question.first_id = none[0];
  if (flags.tokens != 0 && question.ids.size() > flags.tokens) question.ids.resize(flags.tokens);
  question.chunks = static_cast<uint32_t>(question.ids.size() / question.context);
  if (uint64_t{question.chunks} * question.rows_per_chunk() < 2)
    return failure(kExitUsage, "the text has " + std::to_string(question.ids.size()) + " tokens; in chunks of " + std::to_string(question.context) +
                                   " fewer than two of them can be scored");
  question.ids.resize(size_t{question.chunks} * question.context);
  return {};
}

Outcome Evaluation::open(const EvalFlags& flags) {
  if (!flags.compare.empty()) {
    comparison_ = std::make_unique<Comparison>();
    QUIRE_APP_TRY(comparison_->file.open(flags.compare));
  }
  QUIRE_APP_TRY(open_engine(flags.model, KernelTimes::off, engine_));
  QUIRE_APP_TRY(open_model(flags.model, engine_, model_));
  quire_model_info info = quire_cpp::sized<quire_model_info>();
  static_cast<void>(quire_model_get_info(model_.get(), &info));
  question_.vocabulary = info.vocabulary;
  question_.context = flags.model.context_length;
  question_.first = question_.context / 2;
  QUIRE_APP_TRY(take_ids(flags, question_));
  if (comparison_ != nullptr || !flags.logits.empty()) {
    std::string path;
    QUIRE_APP_TRY(find_model(flags.model.model(), path));
    QUIRE_APP_TRY(file_fingerprint(path, question_.fingerprint));
  }
  if (comparison_ != nullptr) QUIRE_APP_TRY(comparison_->file.check_same_question(question_));
  if (!flags.logits.empty()) QUIRE_APP_TRY(writer_.open(flags.logits, question_));
  return open_session(flags.model, model_, session_);
}

Outcome Evaluation::compute_piece(std::span<const uint32_t> tokens, uint32_t rows) {
  QUIRE_APP_TRY(check(quire_session_request_logits(session_.get(), rows)));
  QUIRE_APP_TRY(check(quire_session_append(session_.get(), tokens.data(), tokens.size(), QUIRE_PHASE_PROMPT)));
  return check(quire_session_run(session_.get(), keep_going_unless_interrupted, nullptr));
}

/// Scores the rows of the piece just computed: row i against next[i].
Outcome Evaluation::add_rows(std::span<const uint32_t> next) {
  const float* logits = nullptr;
  uint32_t positions = 0;
  QUIRE_APP_TRY(check(quire_session_get_logits(session_.get(), &logits, &positions)));
  const uint32_t vocabulary = question_.vocabulary;
  for (size_t i = 0; i < next.size(); ++i) {
    const std::span<const float> row(logits + i * vocabulary, vocabulary);
    const Scored scored = score(row);
    if (!std::isfinite(scored.log_sum)) return failure(QUIRE_NON_FINITE, Doing::generation, "a logit is not finite");
    loss_.add(scored.log_sum - row[next[i]]);
    if (comparison_ != nullptr) QUIRE_APP_TRY(comparison_->add(row, scored, next[i]));
  }
  if (!writer_.is_open()) return {};
  return writer_.add_rows({logits, next.size() * vocabulary});
}

Outcome Evaluation::compute(uint32_t chunk, ProgressBar& bar) {
  const uint32_t context = question_.context;
  std::vector<uint32_t> tokens(question_.ids.begin() + static_cast<std::ptrdiff_t>(size_t{chunk} * context),
                               question_.ids.begin() + static_cast<std::ptrdiff_t>((size_t{chunk} + 1) * context));
  if (question_.first_id != QUIRE_NO_TOKEN) tokens[0] = question_.first_id;
  const auto most_rows = static_cast<uint32_t>(std::clamp<uint64_t>(kPieceBytes / sizeof(float) / question_.vocabulary, 1, context));
  QUIRE_APP_TRY(check(quire_session_reset(session_.get())));
  QUIRE_APP_TRY(compute_piece(std::span(tokens).first(question_.first), 1));
  for (uint32_t at = question_.first; at + 1 < context;) {
    const uint32_t rows = std::min(most_rows, context - 1 - at);
    QUIRE_APP_TRY(compute_piece(std::span(tokens).subspan(at, rows), rows));
    QUIRE_APP_TRY(add_rows(std::span(tokens).subspan(at + 1, rows)));
    at += rows;
    bar.update(uint64_t{chunk} * context + at + 1, uint64_t{question_.chunks} * context);
  }
  if (comparison_ != nullptr) QUIRE_APP_TRY(comparison_->file.end_chunk());
  return writer_.is_open() ? writer_.end_chunk() : Outcome{};
}

Json perplexity_json(const Mean& loss) {
  const double perplexity = std::exp(loss.value());
  return {{"perplexity", perplexity}, {"error", perplexity * loss.error()}};
}

std::string readable(const Json& report) {
  char line[512];
  const auto number = [](const Json& part, const char* key) { return part[key].get<double>(); };
  std::snprintf(line, sizeof line, "perplexity %.6f +- %.6f (%llu tokens scored, %u chunks of %u)\n", number(report, "perplexity"), number(report, "error"),
                static_cast<unsigned long long>(report["scored"].get<uint64_t>()), report["chunks"].get<uint32_t>(), report["context"].get<uint32_t>());
  std::string text = line;
  if (!report.contains("compare")) return text;
  const Json& other = report["compare"];
  std::snprintf(line, sizeof line, "compared with %s: perplexity %.6f +- %.6f there\n", other["file"].get<std::string>().c_str(), number(other, "perplexity"),
                number(other, "error"));
  text += line;
  std::snprintf(line, sizeof line, "KL divergence: mean %.3e +- %.1e, 99 %% %.3e, 99.9 %% %.3e, largest %.3e\nsame most likely token: %.3f %%\n",
                number(other, "kl_mean"), number(other, "kl_error"), number(other, "kl_99"), number(other, "kl_99_9"), number(other, "kl_max"),
                100 * number(other, "top_1_agreement"));
  return text + line;
}

Outcome Evaluation::report(const EvalFlags& flags) {
  Json report = perplexity_json(loss_);
  report.update({{"scored", loss_.count()}, {"chunks", question_.chunks}, {"context", question_.context}, {"tokens", question_.ids.size()}});
  if (comparison_ != nullptr) {
    Comparison& c = *comparison_;
    Json other = perplexity_json(c.loss);
    other.update({{"file", flags.compare},
                  {"kl_mean", c.kl.value()},
                  {"kl_error", c.kl.error()},
                  {"kl_99", c.percentile(0.99)},
                  {"kl_99_9", c.percentile(0.999)},
                  {"kl_max", c.percentile(1)},
                  {"top_1_agreement", static_cast<double>(c.same_best) / static_cast<double>(c.kl.count())}});
    report["compare"] = std::move(other);
  }
  return flags.json ? print_json(report) : write_out(readable(report));
}

Outcome Evaluation::run(const EvalFlags& flags) {
  QUIRE_APP_TRY(open(flags));
  if (writer_.is_open()) {
    char size[64];
    std::snprintf(size, sizeof size, "%.1f MB", static_cast<double>(question_.file_bytes()) / 1e6);
    say("writing " + std::string(size) + " of logits to " + flags.logits);
  }
  {
    ProgressBar bar("evaluating");
    for (uint32_t chunk = 0; chunk < question_.chunks; ++chunk) QUIRE_APP_TRY(compute(chunk, bar));
  }
  if (writer_.is_open()) QUIRE_APP_TRY(writer_.finish());
  return report(flags);
}

}  // namespace

void add_eval(CommandLine& line) {
  auto flags = std::make_shared<EvalFlags>();
  flags->model.context_length = kDefaultContext;
  const Verb verb = line.add_verb("eval", "perplexity of a text, and the distance of the answers from another run's");
  add_model(verb, flags->model);
  verb.add("--text,-f,--file", flags->text, "the text; - is stdin").required();
  verb.add("--context", flags->model.context_length,
                   "tokens of a chunk (also -c); the second half of each is scored. The first token becomes BOS if the model asks for one")
      .range(kLeastContext, uint32_t{1} << 30)
      .show_default();
  verb.add("--tokens", flags->tokens, "only this many first tokens of the text; 0: all");
  verb.add("--logits", flags->logits, "write the logits of all scored tokens to this file");
  verb.add("--compare", flags->compare,
                   "report the KL divergence from the logits in this file, which --logits wrote for the same model, text and context");
  add_device(verb, flags->model);
  add_cache(verb, flags->model);
  add_json(verb, flags->json);
  verb.footer("\nExamples:\n  quire eval smollm2 --text book.txt --context 512\n"
               "  quire eval smollm2 --text book.txt --kv f32 --logits f32.logits && quire eval smollm2 --text book.txt --compare f32.logits");
  verb.on_chosen([flags] {
    if (flags->model.context_length < kLeastContext)
      return failure(kExitUsage, "the context is " + std::to_string(flags->model.context_length) + "; it must be at least " + std::to_string(kLeastContext));
    return Evaluation().run(*flags);
  });
}

}  // namespace quire_app
