#include "engine/generate/step_plan.hpp"

#include <algorithm>

namespace quire {
namespace {

/// Rows of logits one run may ask for in one step: bounds the host copy, not what a session can get.
constexpr uint32_t kLogitsPerRun = 64;

StepRun next_run(Session& session, uint32_t capacity) {
  const Session::Impl& s = session.impl();
  const auto total = static_cast<uint32_t>(s.tokens.size());
  StepRun run{.session = &session, .first_token = s.computed};
  const Phase phase = s.phases[s.computed];
  uint32_t end = s.computed;
  while (end < total && end - s.computed < capacity && s.phases[end] == phase) ++end;
  const uint32_t wanted_from = total - std::min(total, s.request.logits_last);
  if (end > wanted_from) end = std::min(end, std::max(wanted_from, s.computed) + kLogitsPerRun);
  run.token_count = end - s.computed;
  run.first_logits_token = std::clamp(wanted_from, s.computed, end);
  return run;
}

void pad(std::vector<ColumnInfo>& columns, uint32_t column_tile) {
  while (columns.size() % column_tile != 0) columns.push_back({.token = 0, .position = 0, .slot = 0, .sequence = PADDING_COLUMN});
}

void add_columns(FamilyPlan& plan, StepRun run) {
  const Session::Impl& s = run.session->impl();
  run.first_column = static_cast<uint32_t>(plan.columns.size());
  const auto index = static_cast<uint32_t>(plan.runs.size());
  for (uint32_t i = 0; i < run.token_count; ++i) {
    const uint32_t at = run.first_token + i;
    plan.columns.push_back({.token = s.tokens[at], .position = at, .slot = at, .sequence = index});
    if (at >= run.first_logits_token) plan.selection.push_back(run.first_column + i);
  }
  pad(plan.columns, plan.column_tile);
  plan.runs.push_back(run);
}

/// The last layer's other columns are computed for nothing: no later token reads more of them than keys and values. Queries come with these, in one product.
void choose_outputs(FamilyPlan& plan) {
  OutputColumns outputs;
  std::vector<uint32_t> selection;
  for (const StepRun& run : plan.runs) {
    const uint32_t first = run.first_column + run.first_logits_token - run.first_token;
    for (uint32_t source = first; source < first + run.logits_count(); ++source) {
      selection.push_back(static_cast<uint32_t>(outputs.columns.size()));
      outputs.columns.push_back(plan.columns[source]);
      outputs.sources.push_back(source);
    }
    pad(outputs.columns, plan.column_tile);
    outputs.sources.resize(outputs.columns.size(), run.first_column);
  }
  if (outputs.columns.size() == plan.columns.size()) return;
  plan.outputs = std::move(outputs);
  plan.selection = std::move(selection);
}

void count_splits(FamilyPlan& plan, const Model::Impl& model) {
  for (const CacheGroup& group : model.groups) {
    uint32_t splits = 1;
    for (const ColumnInfo& column : plan.columns)
      if (column.sequence != PADDING_COLUMN) splits = std::max(splits, split_count_for(model.variants, column.slot, group.window));
    plan.split_count.push_back(splits);
  }
}

}  // namespace

std::vector<FamilyPlan> plan_step(std::span<Session* const> sessions, const Model::Impl& model) {
  FamilyPlan prompt{.phase = Phase::prompt, .column_tile = model.variants.many_column_tile};
  FamilyPlan generated{.phase = Phase::generated, .column_tile = 1};
  for (Session* session : sessions) {
    const Session::Impl& s = session->impl();
    if (s.computed == s.tokens.size()) continue;
    const bool is_prompt = s.phases[s.computed] == Phase::prompt;
    FamilyPlan& plan = is_prompt ? prompt : generated;
    const uint32_t capacity = is_prompt ? model.capacity.prompt_columns : model.capacity.generated_columns;
    const auto used = static_cast<uint32_t>(plan.columns.size());
    if (used < capacity) add_columns(plan, next_run(*session, std::min(capacity - used, model.chunk)));
  }
  std::vector<FamilyPlan> plans;
  for (FamilyPlan* plan : {&prompt, &generated}) {
    if (plan->runs.empty()) continue;
    count_splits(*plan, model);
    // A step of generated tokens wants nearly all of them, and its recording is kept.
    if (plan->phase == Phase::prompt) choose_outputs(*plan);
    plans.push_back(std::move(*plan));
  }
  return plans;
}

}  // namespace quire
