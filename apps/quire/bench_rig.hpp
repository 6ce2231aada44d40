// A model on a device, and sessions on it that are brought to a depth and timed.
#pragma once

#include <cstdint>
#include <vector>

#include "bench_cases.hpp"
#include "host.hpp"
#include "quire/quire.hpp"

namespace quire_app {

struct RunTime {
  double wall_s = 0;
  double host_cpu_s = 0;     ///< of the calling thread
};

/// A model on a device.
class BenchRig {
 public:
  Outcome open(const ModelFlags& flags, KernelTimes times);

  const quire_cpp::Engine& engine() const { return engine_; }
  const quire_cpp::Model& model() const { return model_; }
  const quire_model_info& info() const { return info_; }
  /// Threads of a software driver that have a processor of their own.
  uint32_t bound_workers() const { return bound_workers_; }
  /// Pseudo-random token ids, the same in every run.
  std::vector<uint32_t> prompt(uint32_t sequence, uint32_t count) const;

 private:
  quire_cpp::Engine engine_;
  quire_cpp::Model model_;
  quire_model_info info_{};
  uint32_t bound_workers_ = 0;
};

/// The sessions of one case. The rig outlives them.
class BenchSessions {
 public:
  /// Sessions for the case; those of the case before stay where they are the same.
  Outcome prepare(const BenchRig& rig, const BenchCase& one);
  /// Every session holds the first `depth` tokens of its prompt and nothing else.
  Outcome go_to_depth(uint32_t depth);
  /// Goes to the case's depth, then measures it. Requires: prepared.
  Outcome run(RunTime& time);

 private:
  Outcome check(size_t sequence, quire_status status) const;
  Outcome run_all();
  Outcome append(size_t sequence, const uint32_t* tokens, size_t count, quire_phase phase) const;
  Outcome prefill();
  Outcome decode();

  std::vector<quire_cpp::Session> sessions_;
  std::vector<quire_session*> handles_;              ///< of sessions_
  std::vector<std::vector<uint32_t>> prompts_;       ///< one a session
  BenchCase case_;
};

}  // namespace quire_app
