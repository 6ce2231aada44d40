// Which tokens of which sessions a step computes, and in which columns: decided on the host, before anything is recorded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/generate/session_impl.hpp"

namespace quire {

/// A run of one session's pending tokens, all of one phase.
struct StepRun {
  Session* session = nullptr;      ///< none in a plan that is recorded only to learn its kernels
  uint32_t first_token = 0;        ///< index in the session's timeline
  uint32_t token_count = 0;
  uint32_t first_column = 0;       ///< within its family's columns
  uint32_t first_logits_token = 0; ///< tokens from here to the run's end want logits
  uint32_t logits_count() const { return first_token + token_count - first_logits_token; }
};

/// Columns whose logits are wanted, padded to tiles of their own, each run's apart.
struct OutputColumns {
  std::vector<ColumnInfo> columns;
  std::vector<uint32_t> sources;             ///< each one's index in the plan's columns; of padding any column's of the run
};

/// The columns of one family: the runs side by side, each starting on a tile of its own.
struct FamilyPlan {
  Phase phase = Phase::prompt;
  uint32_t column_tile = 1;
  std::vector<StepRun> runs;
  std::vector<ColumnInfo> columns;           ///< with padding; `sequence` is the run's index
  /// What the last layer computes attention and all that follows for, where that takes fewer tiles than all columns; none: all columns.
  std::optional<OutputColumns> outputs;
  std::vector<uint32_t> selection;           ///< columns whose logits are wanted, run by run: indices in `outputs`, else in `columns`
  std::vector<uint32_t> split_count;         ///< per cache group, for the longest column
};

/// Takes the next run of each session that has pending tokens, as far as the capacity reaches; the others wait for the next step.
/// A run never mixes phases and ends at the chunk. Empty if nothing is pending.
std::vector<FamilyPlan> plan_step(std::span<Session* const> sessions, const Model::Impl& model);

}  // namespace quire
