// What an Encoder holds. Visible inside engine/device only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/device/device_core.hpp"
#include "engine/device/encoder.hpp"
#include "engine/device/hazard_tracker.hpp"

namespace quire {

struct Encoder::State {
  explicit State(std::shared_ptr<DeviceCore> device_core) : core(std::move(device_core)) { core->encoder_opened(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    for (StagingBlock& block : blocks) core->return_staging(std::move(block));
    core->encoder_closed();
  }

  /// invalid_argument without a state, device_lost.
  static Status usable(const State* state);
  /// Appends the command, with a barrier if `accesses` ask for one.
  void record(const Command& command);
  /// Makes room for so many bytes in `blocks`. Answers the index of the block that the first of them goes to. On error: nothing changed.
  Result<size_t> stage(uint64_t size_bytes);

  std::shared_ptr<DeviceCore> core;
  std::vector<Command> commands;
  HazardTracker hazards;
  std::vector<Access> accesses;      ///< of the command being recorded; kept to keep its memory
  std::vector<std::shared_ptr<const BackendRecording>> recordings;  ///< replayed so far: those that commands name, and others
  std::vector<StagingBlock> blocks;  ///< filled one after the other
};

}  // namespace quire
