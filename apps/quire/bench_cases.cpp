#include "bench_cases.hpp"

#include <algorithm>

namespace quire_app {
namespace {

std::vector<uint32_t> or_default(const std::vector<uint32_t>& given, std::vector<uint32_t> otherwise) { return given.empty() ? otherwise : given; }

std::string describe(const BenchCase& one) {
  return std::string(phase_name(one.phase)) + " of " + std::to_string(one.tokens) + " tokens at depth " + std::to_string(one.depth);
}

/// All combinations, or with --full one list after the other around the plain case.
std::vector<BenchCase> combinations(const BenchFlags& flags, const ModelFlags& model) {
  const bool full = flags.full;
  const std::vector<uint32_t> prompts = or_default(flags.prompts, full ? std::vector<uint32_t>{1, 32, 64, 128, 512} : std::vector<uint32_t>{64});
  const std::vector<uint32_t> generated = or_default(flags.generated, {32});
  const std::vector<uint32_t> depths = or_default(flags.depths, full ? std::vector<uint32_t>{0, 512, 2048, 8192} : std::vector<uint32_t>{0});
  const std::vector<uint32_t> sequences = or_default(flags.sequences, full ? std::vector<uint32_t>{1, 2, 4, 8} : std::vector<uint32_t>{1});
  std::vector<BenchCase> cases;
  for (const uint32_t count : sequences)
    for (const uint32_t depth : depths) {
      if (full && count != sequences.front() && depth != depths.front()) continue;
      const bool plain = count == sequences.front() && depth == depths.front();
      for (const uint32_t tokens : prompts)
        if (tokens != 0 && (!full || plain)) cases.push_back({BenchPhase::prefill, tokens, depth, count, model});
      for (const uint32_t tokens : generated)
        if (tokens != 0) cases.push_back({BenchPhase::decode, tokens, depth, count, model});
    }
  return cases;
}

}  // namespace

const char* phase_name(BenchPhase phase) { return phase == BenchPhase::prefill ? "prefill" : "decode"; }

Outcome bench_cases(const BenchFlags& flags, uint32_t context_length, std::vector<BenchCase>& cases, std::vector<std::string>& left_out) {
  std::vector<std::string> formats = flags.formats;
  if (formats.empty()) {
    formats = {"f16"};
    if (flags.full) formats = {"f16", "f32", "q8"};
  }
  for (const std::string& format : formats) {
    ModelFlags model = flags.model;
    model.kv = format;
    quire_page_format k{}, v{};
    QUIRE_APP_TRY(page_formats(model, k, v));
    for (BenchCase& one : combinations(flags, model)) {
      if (uint64_t{one.depth} + one.tokens <= context_length)
        cases.push_back(std::move(one));
      else if (flags.full)
        left_out.push_back(describe(one));
      else
        return failure(kExitUsage, "a " + describe(one) + " does not fit the context of " + std::to_string(context_length) + " tokens");
    }
  }
  if (cases.empty()) return failure(kExitUsage, "no number of tokens in -p and -n is above 0: there is nothing to measure");
  return {};
}

}  // namespace quire_app
