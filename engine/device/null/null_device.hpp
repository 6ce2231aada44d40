// The null backend: accepts everything, executes nothing. Host-only bookkeeping (pages, tables, retirement) is tested on it, and through
// NullOptions a test decides when submissions count as complete.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/device/backend.hpp"

namespace quire {

struct NullOptions {
  enum class Completion : uint8_t {
    at_submit,    ///< complete as soon as submitted
    on_wait,      ///< complete only when wait() asks for it
    after_polls,  ///< the oldest submission completes at every `polls`-th completed(); wait() completes what it asks for
  };
  Completion completion = Completion::at_submit;
  uint32_t polls = 1;
  /// Gives device buffers host memory, so that tests can read and write them. Upload and readback buffers always have it.
  bool host_visible_device_memory = false;
  Limits limits;
};

std::unique_ptr<BackendDevice> make_null_device(const NullOptions& options);

}  // namespace quire
