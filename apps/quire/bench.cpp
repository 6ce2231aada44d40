// quire bench: speed of prefill and decode, where the device's time goes, and what the cache is worth.
#include <memory>

#include "bench_report.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

constexpr uint32_t kMostTokens = 1u << 24;

Outcome bench_no_cache(const BenchFlags& flags) {
  Json report;
  QUIRE_APP_TRY(measure_no_cache(flags, report));
  if (!flags.plot.empty()) QUIRE_APP_TRY(plot_no_cache(report, flags.plot));
  QUIRE_APP_TRY(flags.json ? print_json(report) : write_out(readable_no_cache(report)));
  return check_tokens(report);
}

Outcome bench_verb(const BenchFlags& flags) {
  if (flags.no_cache) return bench_no_cache(flags);
  Json report;
  QUIRE_APP_TRY(measure_cases(flags, report));
  if (!flags.compare.empty()) QUIRE_APP_TRY(compare_reports(flags.compare, report));
  QUIRE_APP_TRY(flags.json ? print_json(report) : write_out(readable(report) + (flags.compare.empty() ? "" : readable_compare(report))));
  return flags.compare.empty() ? Outcome{} : check_losses(report, flags.max_loss);
}

}  // namespace

void add_bench(CommandLine& line) {
  auto flags = std::make_shared<BenchFlags>();
  const Verb verb = line.add_verb("bench", "measure prefill and decode, each kernel, and generation without the cache");
  add_model(verb, flags->model);
  verb.add_list("-p,--n-prompt", flags->prompts, "prompt tokens of the prefill measurements [64]; 0: none").range(0u, kMostTokens);
  verb.add_list("-n,--n-gen", flags->generated, "tokens of the decode measurements [32; with --no-cache 64,256,1024]; 0: none").range(0u, kMostTokens);
  const Flag depths = verb.add_list("-d,--n-depth", flags->depths, "tokens in the cache before either [0]").range(0u, kMostTokens);
  const Flag sequences = verb.add_list("--sequences", flags->sequences, "sequences computed together [1]").range(1u, 1024u);
  verb.add_list("--kv", flags->formats, "page formats of keys and values [f16]: f16, f32, q8");
  const Flag full =
      verb.add_switch("--full", flags->full,
                      "one list after the other instead of all combinations: -p 1,32,64,128,512, then decode at -d 0,512,2048,8192, then\n"
                      "--sequences 1,2,4,8, with every page format; lists that are given replace these; what does not fit the context is left out");
  const Flag repeats = verb.add("-r,--repetitions", flags->repeats, "repeats after a warm-up; the median counts").range(1, 1000).show_default();
  const Flag in_turn = verb.add_switch("--in-turn", flags->in_turn,
                                       "every repeat goes through all cases, so that they can be compared on a machine whose speed changes; the sessions of\n"
                                       "all cases are kept meanwhile");
  const Flag no_kernels = verb.add_switch("--no-kernels", flags->no_kernels, "leave the tables of kernels out");
  const Flag compare = verb.add("--compare", flags->compare, "print ratios to the --json report of an earlier run; exit code 6 if a case lost too much");
  verb.add("--max-loss", flags->max_loss, "the loss of tok/s that --compare allows, as a fraction").range(0.0, 1.0).show_default().needs(compare);
  const Flag no_cache =
      verb.add_switch("--no-cache", flags->no_cache,
                      "generate -n tokens after a prompt of -p, with the cache and recomputing the whole prefix for each token; exit code 1 if a\n"
                      "token differs whose two best logits are at least 0.05 apart, with q8 pages 0.5");
  for (const Flag other : {depths, sequences, full, repeats, in_turn, no_kernels, compare}) no_cache.excludes(other);
  verb.add("--positions", flags->positions, "positions recomputed between one length of -n and the next, evenly spread; 0: every one")
      .range(0u, kMostTokens)
      .show_default()
      .needs(no_cache);
  verb.add("--plot", flags->plot, "write what --no-cache measured as an SVG plot").needs(no_cache);
  add_device(verb, flags->model);
  add_context(verb, flags->model);
  add_kv_parts(verb, flags->model);
  add_cache_limits(verb, flags->model);
  add_arithmetic(verb, flags->model);
  add_json(verb, flags->json);
  verb.footer(
      "\nExamples:\n"
      "  quire bench smollm2 -p 64 -n 32 -d 0 --json > before.json\n"
      "  quire bench smollm2 -p 64 -n 32 -d 0 --compare before.json --max-loss 0.05\n"
      "  quire bench smollm2 -p 64,512 -n 32 -d 0,2048 --sequences 1,8 --kv f16,f32\n"
      "  quire bench smollm2 --no-cache -n 64,256 --plot cache.svg");
  verb.on_chosen([flags] { return bench_verb(*flags); });
}

}  // namespace quire_app
