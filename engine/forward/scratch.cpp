#include "engine/forward/scratch.hpp"

#include <algorithm>

namespace quire {

ScratchLayout ScratchLayout::plan(const Hyperparameters& hyper, const StepCapacity& capacity) {
  constexpr uint64_t kAlignment = 256;
  ScratchLayout layout;
  const uint64_t columns = std::max(capacity.prompt_columns, capacity.generated_columns);
  const auto take_bytes = [&](uint64_t bytes) {
    const Range range{layout.total_bytes, bytes};
    layout.total_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return range;
  };
  const auto take = [&](uint64_t width, uint64_t column_count) { return take_bytes(Activation::bytes(width, column_count)); };
  const uint64_t q_rows = uint64_t{hyper.head_count} * hyper.key_length;
  for (Range& hidden : layout.hidden) hidden = take(hyper.embedding_length, columns);
  layout.normed = take(hyper.embedding_length, columns);
  layout.qkv = take(q_rows + uint64_t{hyper.head_count_kv} * (hyper.key_length + hyper.value_length), columns);
  layout.q = take(q_rows, columns);
  layout.attended = take(uint64_t{hyper.head_count} * hyper.value_length, columns);
  layout.partials = take_bytes(attend_partials_bytes(capacity.generated_columns, hyper.head_count, hyper.value_length, capacity.split_count));
  layout.gate_up = take(uint64_t{2} * hyper.feed_forward_length, columns);
  layout.gated = take(hyper.feed_forward_length, columns);
  layout.codes = take_bytes(Activation::code_bytes(
      std::max({hyper.embedding_length, hyper.head_count * hyper.value_length, hyper.feed_forward_length}), capacity.quantized_columns));
  layout.logit_input = take(hyper.embedding_length, kLogitRows);
  layout.logit_normed = take(hyper.embedding_length, kLogitRows);
  layout.logits = take(hyper.vocabulary_size, kLogitRows);
  return layout;
}

Result<Scratch> Scratch::create(Device& device, const Hyperparameters& hyper, const StepCapacity& capacity) {
  Scratch scratch;
  scratch.layout_ = ScratchLayout::plan(hyper, capacity);
  QUIRE_ASSIGN(scratch.buffer_, device.create_buffer(scratch.layout_.total_bytes, BufferUse::device, "scratch"));
  return scratch;
}

}  // namespace quire
