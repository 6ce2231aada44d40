#include "engine/generate/step_recording.hpp"

#include <algorithm>
#include <bit>

namespace quire {
namespace {

template <class T>
Status upload_array(Encoder& encoder, const StepTableBuffer& tables, const ScratchLayout::Range& range, const std::vector<T>& values) {
  if (values.empty()) return {};
  return encoder.upload(tables.slice(range, values.size() * sizeof(T)), std::as_bytes(std::span(values)));
}

/// Bytes of one layer's K and V in slots [begin, end) of a sequence with these pages.
uint64_t layer_bytes(const PageShape& shape, std::span<const TablePage> pages, uint32_t begin, uint32_t end) {
  uint64_t bytes = 0;
  for (uint32_t slot = begin; slot < end;) {
    const uint32_t page = slot / shape.tokens, page_end = std::min(end, (page + 1) * shape.tokens);
    bytes += uint64_t{page_layer_bytes(shape, pages[page].formats.word())} * (page_end - slot) / shape.tokens;
    slot = page_end;
  }
  return bytes;
}

/// Requires: the columns' slots are reserved.
AttentionReads attention_reads(const FamilyPlan& plan, std::span<const ColumnInfo> columns, const Model::Impl& model, uint32_t group) {
  AttentionReads reads;
  for (size_t tile = 0; tile < columns.size(); tile += plan.column_tile) {
    uint32_t first = UINT32_MAX, end = 0;
    for (const ColumnInfo& column : columns.subspan(tile, plan.column_tile)) {
      if (column.sequence == PADDING_COLUMN) continue;
      const uint32_t seen = first_visible_slot(column.slot, model.groups[group].window);
      reads.slots += column.slot + 1 - seen;
      first = std::min(first, seen);
      end = std::max(end, column.slot + 1);
    }
    const StepRun& run = plan.runs[columns[tile].sequence];  // padding comes after a run's last token, in its last tile
    if (run.session == nullptr) continue;  // a plan that is made for its kernels alone
    reads.bytes += layer_bytes(model.groups[group].page_shape(), model.cache->pages(run.session->impl().sequence, group), first, end);
  }
  return reads;
}

uint64_t row_bytes(const Model::Impl& model) { return uint64_t{model.hyper.vocabulary_size} * sizeof(float); }

}  // namespace

bool completes_session(const StepRun& run) { return run.first_token + run.token_count == run.session->impl().tokens.size(); }
bool host_wants_logits(const StepRun& run) { return run.session->impl().request.logits_last > 1; }

std::vector<LogitsRound> logits_rounds(const FamilyPlan& plan, Model::Impl& model) {
  std::vector<LogitsRow> rows;
  for (const StepRun& run : plan.runs)
    for (uint32_t i = 0; i < run.logits_count(); ++i) rows.push_back({&run, run.first_logits_token + i});
  std::vector<LogitsRound> rounds;
  for (uint32_t begin = 0; begin < rows.size(); begin += kLogitRows) {
    const size_t count = std::min<size_t>(kLogitRows, rows.size() - begin);
    LogitsRound round{.rows = {rows.begin() + begin, rows.begin() + begin + static_cast<ptrdiff_t>(count)}, .begin = begin, .logits = {}};
    // One row that only its session wants is computed in place; otherwise rows are computed side by side and copied out.
    round.in_place = count == 1 && round.rows[0].is_newest() && !host_wants_logits(*round.rows[0].run);
    round.logits = round.in_place ? round.rows[0].run->session->impl().newest_logits.slice()
                                  : model.scratch->slice({model.scratch->layout().logits.offset_bytes, count * row_bytes(model)});
    rounds.push_back(std::move(round));
  }
  return rounds;
}

Status record_step_tables(const FamilyPlan& plan, Model::Impl& model, Encoder& encoder) {
  const StepTableBuffer& tables = *model.tables;
  QUIRE_TRY(upload_array(encoder, tables, tables.layout.columns, plan.columns));
  for (uint32_t g = 0; g < model.groups.size(); ++g) {
    std::vector<SequenceInfo> sequences;
    for (const StepRun& run : plan.runs) sequences.push_back(model.cache->sequence_info(run.session->impl().sequence, g));
    QUIRE_TRY(upload_array(encoder, tables, tables.layout.sequences[g], sequences));
  }
  for (size_t kind = 0; kind < model.ropes.size(); ++kind)
    QUIRE_TRY(upload_array(encoder, tables, tables.layout.rope[kind], rope_angles(plan.columns, model.ropes[kind])));
  if (plan.outputs) {
    QUIRE_TRY(upload_array(encoder, tables, tables.layout.output_columns, plan.outputs->columns));
    QUIRE_TRY(upload_array(encoder, tables, tables.layout.output_sources, plan.outputs->sources));
  }
  return upload_array(encoder, tables, tables.layout.selection, plan.selection);
}

Result<Activation> record_step_layers(const FamilyPlan& plan, Model::Impl& model, Encoder& encoder) {
  const StepTableBuffer& tables = *model.tables;
  const auto column_count = static_cast<uint32_t>(plan.columns.size());
  std::vector<BufferSlice> sequences;
  for (const ScratchLayout::Range& range : tables.layout.sequences) sequences.push_back(tables.slice(range, plan.runs.size() * sizeof(SequenceInfo)));
  std::vector<BufferSlice> rope;
  for (const ScratchLayout::Range& range : tables.layout.rope)
    rope.push_back(tables.slice(range, uint64_t{column_count} * model.hyper.rope_dimension_count * sizeof(float)));
  std::vector<AttentionReads> reads;
  for (uint32_t group = 0; group < model.groups.size(); ++group) reads.push_back(attention_reads(plan, plan.columns, model, group));
  std::optional<StepOutputs> outputs;
  std::vector<AttentionReads> output_reads;
  if (plan.outputs) {
    for (uint32_t group = 0; group < model.groups.size(); ++group) output_reads.push_back(attention_reads(plan, plan.outputs->columns, model, group));
    const auto output_count = static_cast<uint32_t>(plan.outputs->columns.size());
    outputs = StepOutputs{.column_count = output_count,
                          .sources = tables.slice(tables.layout.output_sources, uint64_t{output_count} * sizeof(uint32_t)),
                          .columns = tables.slice(tables.layout.output_columns, uint64_t{output_count} * sizeof(ColumnInfo)),
                          .attention_reads = output_reads};
  }
  const StepInput input{.column_count = column_count,
                        .column_tile = plan.column_tile,
                        .columns = tables.slice(tables.layout.columns, uint64_t{column_count} * sizeof(ColumnInfo)),
                        .sequences = sequences,
                        .rope = rope,
                        .pages = model.cache->slabs(),
                        .attention_reads = reads,
                        .split_count = plan.split_count,
                        .outputs = outputs};
  return record_layers({encoder, model.variants}, model.hyper, *model.weights, model.layers, input, *model.scratch);
}

Status record_round(const LogitsRound& round, const Activation& hidden, Model::Impl& model, Encoder& encoder) {
  const StepTableBuffer& tables = *model.tables;
  const auto count = static_cast<uint32_t>(round.rows.size());
  const BufferSlice selection =
      tables.buffer.slice(tables.layout.selection.offset_bytes + uint64_t{round.begin} * sizeof(uint32_t), count * sizeof(uint32_t));
  const BufferSlice results = tables.slice(tables.layout.argmax, count * sizeof(ArgmaxResult));
  const Recorder recorder{encoder, model.variants};
  QUIRE_TRY(record_logits(recorder, model.hyper, *model.weights, hidden, selection, count, round.logits, *model.scratch));
  return record_argmax(recorder, Activation{round.logits, model.hyper.vocabulary_size, count, 1}, results);
}

Status record_step_kernels(const FamilyPlan& plan, std::span<const LogitsRound> rounds, Model::Impl& model, Encoder& encoder) {
  QUIRE_ASSIGN(const Activation hidden, record_step_layers(plan, model, encoder));
  for (const LogitsRound& round : rounds) QUIRE_TRY(record_round(round, hidden, model, encoder));
  return {};
}

std::vector<Access> step_accesses(std::span<const LogitsRound> rounds, Model::Impl& model) {
  std::vector<Access> accesses = {{model.tables->buffer.slice(), AccessMode::read_write},
                                  {model.scratch->slice({0, model.scratch->size_bytes()}), AccessMode::read_write}};
  for (const BufferSlice& slab : model.cache->slabs()) accesses.push_back({slab, AccessMode::read_write});
  for (const LogitsRound& round : rounds) accesses.push_back({round.logits, AccessMode::write});
  return accesses;
}

StepShape shape_of(const FamilyPlan& plan, std::span<const LogitsRound> rounds) {
  StepShape shape{.column_count = static_cast<uint32_t>(plan.columns.size()), .split_count = plan.split_count};
  uint64_t slots = 0;
  for (const ColumnInfo& column : plan.columns) slots += column.sequence == PADDING_COLUMN ? 0 : column.slot + 1;
  shape.slots_magnitude = static_cast<uint32_t>(std::bit_width(slots));
  for (const LogitsRound& round : rounds) {
    shape.logits_count = static_cast<uint32_t>(round.rows.size());
    if (round.in_place) shape.logits_address = round.rows[0].run->session->impl().newest_logits.address();
  }
  return shape;
}

Status record_results(const LogitsRound& round, Model::Impl& model, Encoder& encoder, ResultCursor& to) {
  const StepTableBuffer& tables = *model.tables;
  for (size_t i = 0; i < round.rows.size(); ++i) {
    const LogitsRow& source = round.rows[i];
    const BufferSlice row{round.logits.buffer, round.logits.offset_bytes + i * row_bytes(model), row_bytes(model)};
    if (host_wants_logits(*source.run)) {
      QUIRE_TRY(encoder.copy(row, to.readback.slice(to.logits_bytes, row_bytes(model))));
      to.logits_bytes += row_bytes(model);
    }
    if (!source.is_newest()) continue;
    if (!round.in_place) QUIRE_TRY(encoder.copy(row, source.run->session->impl().newest_logits.slice()));
    QUIRE_TRY(encoder.copy(tables.buffer.slice(tables.layout.argmax.offset_bytes + i * sizeof(ArgmaxResult), sizeof(ArgmaxResult)),
                           to.readback.slice(to.argmax_bytes, sizeof(ArgmaxResult))));
    to.argmax_bytes += sizeof(ArgmaxResult);
  }
  return {};
}

}  // namespace quire
