// What a step records: its tables, its kernels, and the copies of its results, apart, so that the kernels can be recorded once and run many times.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/generate/model_impl.hpp"
#include "engine/generate/step_plan.hpp"
#include "engine/generate/step_shape.hpp"

namespace quire {

bool completes_session(const StepRun& run);
bool host_wants_logits(const StepRun& run);

/// Where a row of logits goes: to its session if it is the newest token's, and to the host if it asked for several.
struct LogitsRow {
  const StepRun* run = nullptr;
  uint32_t token = 0;
  bool is_newest() const { return completes_session(*run) && token + 1 == run->first_token + run->token_count; }
};

/// Rows of logits that are computed together: at most kLogitRows.
struct LogitsRound {
  std::vector<LogitsRow> rows;
  uint32_t begin = 0;              ///< place of the first one among the step's rows
  BufferSlice logits;              ///< f32 [rows][vocabulary]
  bool in_place = false;           ///< `logits` are the session's own
};
std::vector<LogitsRound> logits_rounds(const FamilyPlan& plan, Model::Impl& model);

/// Columns, sequences, angles and the selection, uploaded.
Status record_step_tables(const FamilyPlan& plan, Model::Impl& model, Encoder& encoder);
/// All layers. Requires: the tables.
Result<Activation> record_step_layers(const FamilyPlan& plan, Model::Impl& model, Encoder& encoder);
/// Final norm, logits and their maximum.
Status record_round(const LogitsRound& round, const Activation& hidden, Model::Impl& model, Encoder& encoder);

/// All layers and rounds. Requires: the tables, and at most one round: their logits may share memory.
Status record_step_kernels(const FamilyPlan& plan, std::span<const LogitsRound> rounds, Model::Impl& model, Encoder& encoder);
/// Every byte that those kernels may read or write.
std::vector<Access> step_accesses(std::span<const LogitsRound> rounds, Model::Impl& model);

/// Requires: at most one round.
StepShape shape_of(const FamilyPlan& plan, std::span<const LogitsRound> rounds);

/// Where the results of a step are copied to.
struct ResultCursor {
  const Buffer& readback;
  uint64_t argmax_bytes = 0;       ///< of the next ArgmaxResult
  uint64_t logits_bytes = 0;       ///< of the next row for the host
};
Status record_results(const LogitsRound& round, Model::Impl& model, Encoder& encoder, ResultCursor& to);

}  // namespace quire
