// DeviceCore: what a Device, its buffers and its encoders share. Visible inside engine/device and to its tests only.
//
// Lifetimes. The core owns the backend and outlives every Buffer and Encoder. A buffer that is destroyed goes to the retirement list with the
// last timeline value handed out, or, while encoders are open, once the last of them is closed: they may have recorded its address.
// Recordings. An encoder holds those that it replays until it is submitted, and the backend until they have run.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/device/backend.hpp"
#include "engine/device/cost_model.hpp"
#include "engine/device/staging_pool.hpp"

namespace quire {

class DeviceCore {
 public:
  DeviceCore(std::unique_ptr<BackendDevice> backend, const DeviceOptions& options);
  DeviceCore(const DeviceCore&) = delete;
  DeviceCore& operator=(const DeviceCore&) = delete;
  ~DeviceCore();

  const DeviceInfo& info() const { return info_; }
  const Limits& limits() const { return info().limits; }
  BarrierMode barriers() const { return barriers_; }
  bool lost() const { return lost_; }
  /// device_lost if the device is lost.
  Status usable() const;

  Result<std::unique_ptr<BackendBuffer>> create_buffer(uint64_t size_bytes, BufferUse use, const char* label);
  /// Frees the buffer when the device can no longer reach it. Allocates nothing.
  void retire(std::unique_ptr<BackendBuffer> buffer);

  /// On error: as create_buffer.
  Result<StagingBlock> take_staging();
  /// The block is free again when everything submitted so far is complete.
  void return_staging(StagingBlock block);
  void encoder_opened() { ++open_encoders_; }
  void encoder_closed();

  Status prepare(const KernelVariant& kernel);
  /// On error: as prepare.
  Result<std::shared_ptr<BackendRecording>> keep(std::span<const Command> dispatches);
  /// Whether commands need not be split at the submission bound. Requires: there are some.
  bool fit_one_submission(std::span<const Command> commands) const;
  Result<uint64_t> submit(std::span<const Command> commands);
  uint64_t last_submitted() const { return last_submitted_; }
  uint64_t split_count() const { return split_count_; }
  Result<uint64_t> completed();
  Status wait(uint64_t timeline_value, std::chrono::nanoseconds timeout);
  /// Waits for everything submitted, at most kIdleTimeout.
  Status wait_idle();
  Result<std::vector<KernelTiming>> take_timings();
  DeviceMemory memory();
  Status save_pipeline_cache();

 private:
  struct Retired {
    std::unique_ptr<BackendBuffer> buffer;
    uint64_t timeline_value;  ///< kWhileEncodersOpen: not known yet
  };
  Result<std::unique_ptr<BackendBuffer>> allocate(uint64_t size_bytes, BufferUse use, const char* label);
  Status submit_part(std::span<const Command> commands);
  /// Asks the device how far it is and frees what it can no longer reach.
  void poll();
  void reached(uint64_t timeline_value);
  void free_buffer(std::unique_ptr<BackendBuffer> buffer);
  void free_staging(std::unique_ptr<BackendBuffer> block);
  /// Every answer of the backend goes through here: device_lost is sticky.
  template <class Answer>
  Answer noted(Answer answer) {
    if (answer.code() == Code::device_lost) lost_ = true;
    return answer;
  }

  std::unique_ptr<BackendDevice> backend_;
  DeviceInfo info_;
  BarrierMode barriers_;
  std::chrono::nanoseconds submission_bound_;
  CostModel cost_model_;
  StagingPool staging_;
  std::vector<Retired> retired_;
  uint64_t last_submitted_ = 0;
  uint64_t completed_ = 0;
  uint64_t split_count_ = 0;
  uint64_t buffer_bytes_ = 0;  ///< staging blocks included
  uint64_t buffer_count_ = 0;  ///< likewise
  uint64_t staging_bytes_ = 0;
  uint64_t staging_count_ = 0;
  uint32_t open_encoders_ = 0;
  bool lost_ = false;
};

}  // namespace quire
