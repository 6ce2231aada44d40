// Session: one token timeline on a model. Step: the work that brings sessions up to date, resumable and never blocking.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_group.hpp"
#include "engine/base/result.hpp"
#include "engine/generate/model.hpp"
#include "engine/generate/sampler.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire {

/// How a token came into the timeline. It fixes which kernels compute it, and so every rounding (DESIGN: phases).
enum class Phase : uint8_t {
  prompt,     ///< many-token kernels
  generated,  ///< one-token kernels: sampled here, or forced by the host
};

struct SessionOptions {
  PageFormats formats;                   ///< of K and V in new pages; default f16
};

/// Which results a session keeps of the tokens it computes.
struct OutputRequest {
  uint32_t logits_last = 1;              ///< logits of this many last appended tokens (0: none)
};

class Session {
 public:
  /// The model outlives its sessions. On error: unsupported (format), out_of_host_memory.
  static Result<std::unique_ptr<Session>> create(Model& model, const SessionOptions& options);
  ~Session();

  /// Adds tokens; nothing is computed before a step. On error: invalid_argument (an id outside the vocabulary), context_full, busy; unchanged.
  Status append(std::span<const uint32_t> tokens, Phase phase);
  /// Forgets every token from `length` on, computed or not. Where a window has given back pages that the shorter timeline needs, all tokens that
  /// stay become pending: the next steps compute them again, in their phases, so with the same bits. On error: invalid_argument, busy.
  Status truncate(uint32_t length);
  /// truncate(0) and no memory of what was, requests included: as a new session. On error: busy.
  Status reset();

  std::span<const uint32_t> tokens() const;
  uint32_t computed() const;             ///< tokens whose K and V are in pages
  /// Pages held in a cache group of the model, and their bytes.
  HeldPages held_pages(uint32_t group) const;
  uint32_t pending() const;              ///< appended and not computed
  /// Takes effect with the next append.
  void request(const OutputRequest& request);
  /// Whether a step has begun and not finished that computes tokens of this session.
  bool in_step() const;
  /// Logits after each of the last logits_positions() tokens: f32 [positions][vocabulary], valid until the next append, truncate or step.
  /// On error: invalid_argument (pending tokens, or nothing computed since the last change), device_lost.
  Result<std::span<const float>> logits();
  /// How many of the last tokens have logits: 0 before a step has computed the newest token.
  uint32_t logits_positions() const;
  /// The largest logit after the newest token, found on the device. On error: invalid_argument (nothing computed), non_finite.
  Result<ArgmaxResult> argmax();
  /// The next token, chosen on the device: a pure function of the logits after the newest token, the options and the number of tokens. Waits for the
  /// device. On error: as argmax; invalid_argument (check_sampling), out_of_device_memory, device_lost.
  Result<uint32_t> sample(const SamplingOptions& options);

  Model& model();
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// One step takes the next run of pending tokens (one phase, at most a chunk) of each session given and computes them together.
/// begin, poll and finish return at once; run() loops over them until nothing is pending.
class Step {
 public:
  /// Requires: the sessions share one model and none is in a step.
  /// On error: out_of_pages, out_of_device_memory (no session changed), busy, device_lost.
  static Result<Step> begin(std::span<Session* const> sessions);
  Step(Step&&) noexcept;
  Step& operator=(Step&&) noexcept;
  ~Step();                               ///< an unfinished step is cancelled

  /// True when finish() will not wait. On error: device_lost.
  Result<bool> poll();
  /// Waits for the device; the sessions then hold the new tokens. On error: timeout (call again), device_lost.
  Status finish(std::chrono::nanoseconds timeout);
  /// Drops the step's effects: sessions are as before begin. The device may still be busy with it.
  void cancel();

 private:
  struct State;
  explicit Step(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// begin/finish until no session has pending tokens. `keep_going`, if given, is asked between steps; false stops with Code::cancelled.
Status run_steps(std::span<Session* const> sessions, std::chrono::nanoseconds timeout, const std::function<bool()>& keep_going = {});

}  // namespace quire
