// What a bench measures: flags with lists, and the cases that follow from them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flags.hpp"
#include "outcome.hpp"

namespace quire_app {

struct BenchFlags {
  ModelFlags model;
  std::vector<uint32_t> prompts, generated, depths, sequences;   ///< empty: the flag was not given
  std::vector<std::string> formats;                              ///< of pages
  uint32_t repeats = 5;
  bool full = false;
  bool in_turn = false;        ///< every repeat goes through all cases
  bool no_kernels = false;
  bool no_cache = false;
  uint32_t positions = 16;     ///< --no-cache: recomputed positions between one length and the next; 0: every one
  std::string plot;            ///< --no-cache: an SVG file
  std::string compare;         ///< a report of an earlier run
  double max_loss = 0.1;       ///< of tok/s, as a fraction
  bool json = false;
};

enum class BenchPhase { prefill, decode };
const char* phase_name(BenchPhase phase);

struct BenchCase {
  BenchPhase phase = BenchPhase::prefill;
  uint32_t tokens = 0;         ///< of each sequence
  uint32_t depth = 0;          ///< tokens in the cache before
  uint32_t sequences = 1;
  ModelFlags model;            ///< with the page formats of this case
  std::string k_format() const { return model.kv_k.empty() ? model.kv : model.kv_k; }
  std::string v_format() const { return model.kv_v.empty() ? model.kv : model.kv_v; }
  bool same_sessions(const BenchCase& other) const {
    return sequences == other.sequences && k_format() == other.k_format() && v_format() == other.v_format();
  }
};

/// The cases in the order that recomputes least: by format, number of sequences, depth. `left_out` names what --full leaves out because the
/// context is too short. On error: kExitUsage (nothing to measure; a page format; a case that does not fit the context).
Outcome bench_cases(const BenchFlags& flags, uint32_t context_length, std::vector<BenchCase>& cases, std::vector<std::string>& left_out);

}  // namespace quire_app
