// The kernels of steps of generated tokens, recorded once for each shape that a step has and replayed. Seen by the files of engine/generate only.
#pragma once

#include <map>
#include <span>

#include "engine/device/device.hpp"
#include "engine/generate/model.hpp"
#include "engine/generate/step_shape.hpp"

namespace quire {

struct FamilyPlan;
struct LogitsRound;

class KeptSteps {
 public:
  /// A step of generated tokens whose logits are computed together: of at most kLogitRows. Prompts come in too many shapes.
  static bool takes(const FamilyPlan& plan, std::span<const LogitsRound> rounds);
  /// Records the step's kernels: those of an earlier step of its shape where the driver has them.
  /// Requires: takes(plan, rounds). On error: as the kernels' recording, as Device::keep.
  Status record(const FamilyPlan& plan, std::span<const LogitsRound> rounds, Model::Impl& model, Encoder& encoder);

 private:
  std::map<StepShape, Recording> recordings_;
  bool in_driver_ = true;  ///< until the device is seen to keep none
};

}  // namespace quire
