// How a part of the program ends: an exit code, and for failures one sentence. The codes are listed in `quire --help` and in README.md.
#pragma once

#include <string>

#include "quire/quire.h"

namespace quire_app {

enum ExitCode : int {
  kExitOk = 0,
  kExitRuntime = 1,
  kExitUsage = 2,
  kExitModel = 3,
  kExitDevice = 4,
  kExitMemory = 5,
  kExitSlower = 6,             ///< bench --compare: a case lost more than --max-loss
  kExitInterrupted = 130,
  kExitPipeClosed = 141,
};

struct [[nodiscard]] Outcome {
  int code = kExitOk;
  std::string message;
  bool ok() const { return code == kExitOk; }
};

inline Outcome failure(int code, std::string message) { return {code, std::move(message)}; }

/// What was being done when a call failed: it decides what `unsupported` or `not_found` is about.
enum class Doing { device, model, generation };

inline int exit_code(quire_status status, Doing doing) {
  switch (status) {
    case QUIRE_OK: return kExitOk;
    case QUIRE_CANCELLED: return kExitInterrupted;
    case QUIRE_OUT_OF_HOST_MEMORY:
    case QUIRE_OUT_OF_DEVICE_MEMORY:
    case QUIRE_OUT_OF_PAGES: return kExitMemory;
    case QUIRE_DEVICE_LOST:
    case QUIRE_TIMEOUT: return kExitDevice;
    case QUIRE_INVALID_ARGUMENT: return doing == Doing::generation ? kExitRuntime : kExitUsage;
    default: break;
  }
  switch (doing) {
    case Doing::device: return kExitDevice;
    case Doing::model: return kExitModel;
    case Doing::generation: break;
  }
  return kExitRuntime;
}

inline Outcome failure(quire_status status, Doing doing, const char* message) {
  return {exit_code(status, doing), std::string(quire_status_name(status)) + ": " + message};
}

#define QUIRE_APP_TRY(expr) \
  do {                      \
    if (auto outcome_ = (expr); !outcome_.ok()) return outcome_; \
  } while (0)

}  // namespace quire_app
