// The report of a bench: made, printed, compared with an earlier one.
#pragma once

#include "bench_cases.hpp"
#include "bench_rig.hpp"
#include "generation.hpp"

namespace quire_app {

/// What the figures of a run depend on: program, model, device, driver, variants, date.
Json describe_run(const BenchRig& rig, const ModelFlags& flags);

/// Measures every case: wall times first, then, unless --no-kernels, each kernel. Adds "results": per case its sizes, tok/s (median, slowest, fastest), seconds
/// of each repeat, microseconds of the median run (wall_us) and of the calling thread's processor time in it (host_cpu_us), and "kernels".
Outcome measure_cases(const BenchFlags& flags, Json& report);
std::string readable(const Json& report);

/// With the cache and without: each of the lengths of -n generated both ways.
Outcome measure_no_cache(const BenchFlags& flags, Json& report);
/// On error: kExitRuntime (a token differs where the best two logits are far enough apart).
Outcome check_tokens(const Json& report);
std::string readable_no_cache(const Json& report);
/// Seconds over generated tokens, both ways. On error: kExitRuntime (the file).
Outcome plot_no_cache(const Json& report, const std::string& file);

/// Adds "compare" to the report: ratios to the cases that the earlier report in `file` has, too. On error: kExitRuntime (the file).
Outcome compare_reports(const std::string& file, Json& report);
std::string readable_compare(const Json& report);
/// On error: kExitSlower, naming what lost more than max_loss.
Outcome check_losses(const Json& report, double max_loss);

}  // namespace quire_app
