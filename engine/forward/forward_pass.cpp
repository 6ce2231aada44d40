#include "engine/forward/forward_pass.hpp"

#include <algorithm>
#include <utility>

namespace quire {
namespace {

/// Keys and values of the step's own tokens go to their pages first; attention then reads every key, old and new, from pages.
Status record_attention(Recorder r, const LayerAttention& layer, const StepInput& input, const Activation& q, const Activation& attended,
                        Scratch& scratch) {
  const StepTables tables{input.columns, input.sequences[layer.group], input.pages, input.attention_reads[layer.group]};
  if (input.column_tile > 1) return record_attend_prefill(r, q, layer.shape, tables, attended);
  const uint32_t splits = input.split_count[layer.group];
  const uint64_t partial_bytes = attend_partials_bytes(input.column_count, layer.shape.q_heads, layer.shape.page.v_dim, splits);
  if (partial_bytes > scratch.layout().partials.size_bytes)
    return make_error(Code::internal, "attention partials of %llu bytes do not fit %llu bytes of scratch", static_cast<unsigned long long>(partial_bytes),
                      static_cast<unsigned long long>(scratch.layout().partials.size_bytes));
  const BufferSlice partials = scratch.slice({scratch.layout().partials.offset_bytes, partial_bytes});
  QUIRE_TRY(record_attend_decode(r, q, layer.shape, tables, splits, partials));
  return record_attend_merge(r, partials, splits, layer.shape, input.columns, attended);
}

/// `src` for its product with `weights`: with codes, where that is computed from them.
Result<Activation> quantized_for(Recorder r, const WeightMatrix& weights, const Activation& src, const Scratch& scratch) {
  const auto has_scales = [](const WeightPart& part) { return weight_type_info(part.type).has_scales(); };
  const bool in_int8 = r.variants.many_arithmetic == Arithmetic::int8 && src.column_tile > 1;
  if (!in_int8 || std::none_of(weights.parts.begin(), weights.parts.end(), has_scales)) return src;
  Activation quantized = src;
  quantized.codes = scratch.slice({scratch.layout().codes.offset_bytes, Activation::code_bytes(src.width, src.column_count)});
  QUIRE_TRY(record_quantize_columns(r, src, quantized.codes));
  return quantized;
}

/// dst = residual + W src (+ bias), normed first where the family norms what a part adds; `projected` holds the product then.
Status record_addition(Recorder r, const WeightMatrix& weights, BufferSlice bias, BufferSlice post_norm, float epsilon, const Activation& src,
                       const Activation& residual, const Activation& projected, const Activation& dst) {
  if (!post_norm) return record_matmul(r, weights, src, dst, 0, bias, residual.slice);
  QUIRE_TRY(record_matmul(r, weights, src, projected, 0, bias));
  return record_rms_norm(r, projected, post_norm, epsilon, dst, residual.slice);
}

/// A layer's input x and what it computes on the way, for all columns side by side.
struct LayerActivations {
  Activation x, next, normed, qkv, q, attended, gate_up, gated;
};

LayerActivations layer_activations(const Hyperparameters& hyper, uint32_t column_count, uint32_t column_tile, const Scratch& scratch) {
  const ScratchLayout& at = scratch.layout();
  const auto activation = [&](const ScratchLayout::Range& range, uint32_t width) { return scratch.activation(range, width, column_count, column_tile); };
  const uint32_t q_rows = hyper.head_count * hyper.key_length;
  return {.x = activation(at.hidden[0], hyper.embedding_length),
          .next = activation(at.hidden[1], hyper.embedding_length),
          .normed = activation(at.normed, hyper.embedding_length),
          .qkv = activation(at.qkv, q_rows + hyper.head_count_kv * (hyper.key_length + hyper.value_length)),
          .q = activation(at.q, q_rows),
          .attended = activation(at.attended, hyper.head_count * hyper.value_length),
          .gate_up = activation(at.gate_up, 2 * hyper.feed_forward_length),
          .gated = activation(at.gated, hyper.feed_forward_length)};
}

/// Queries into `q`; keys and values into their pages.
Status record_projections(Recorder r, const Hyperparameters& hyper, const LayerWeights& w, const LayerAttention& attention, const StepInput& input,
                          const LayerActivations& a, Scratch& scratch) {
  const StepTables tables{input.columns, input.sequences[attention.group], input.pages};
  QUIRE_TRY(record_rms_norm(r, a.x, w.attention_norm, hyper.rms_epsilon, a.normed));
  QUIRE_ASSIGN(const Activation attention_in, quantized_for(r, w.qkv, a.normed, scratch));
  QUIRE_TRY(record_matmul(r, w.qkv, attention_in, a.qkv, 0, w.qkv_bias));
  if (w.query_norm) QUIRE_TRY(record_head_norm(r, a.qkv, attention.shape, w.query_norm, w.key_norm, hyper.rms_epsilon));
  return record_rope_page_write(r, a.qkv, input.rope[attention.rope_kind], hyper.rope_dimension_count, hyper.rope_order, attention.shape, tables, a.q);
}

/// From queries to the layer's output, which takes the place of `x`.
Status record_rest_of_layer(Recorder r, const Hyperparameters& hyper, const LayerWeights& w, const LayerAttention& attention, const StepInput& input,
                            const LayerActivations& a, Scratch& scratch) {
  QUIRE_TRY(record_attention(r, attention, input, a.q, a.attended, scratch));
  QUIRE_ASSIGN(const Activation attention_out, quantized_for(r, w.attention_out, a.attended, scratch));
  QUIRE_TRY(record_addition(r, w.attention_out, w.attention_out_bias, w.post_attention_norm, hyper.rms_epsilon, attention_out, a.x, a.normed, a.next));

  QUIRE_TRY(record_rms_norm(r, a.next, w.feed_forward_norm, hyper.rms_epsilon, a.normed));
  QUIRE_ASSIGN(const Activation feed_forward_in, quantized_for(r, w.gate_up, a.normed, scratch));
  QUIRE_TRY(record_gated_matmul(r, w.gate_up, feed_forward_in, hyper.gate_function, w.gate_up_bias, a.gate_up, a.gated));
  QUIRE_ASSIGN(const Activation feed_forward_out, quantized_for(r, w.down, a.gated, scratch));
  return record_addition(r, w.down, w.down_bias, w.post_feed_forward_norm, hyper.rms_epsilon, feed_forward_out, a.next, a.normed, a.x);
}

}  // namespace

Result<Activation> record_layers(Recorder r, const Hyperparameters& hyper, const ModelWeights& weights, std::span<const LayerAttention> layers,
                                 const StepInput& input, Scratch& scratch) {
  const LayerActivations all = layer_activations(hyper, input.column_count, input.column_tile, scratch);
  QUIRE_TRY(record_embed_rows(r, weights.embedding, input.columns, all.x, hyper.embedding_scale));
  for (size_t l = 0; l + 1 < layers.size(); ++l) {
    QUIRE_TRY(record_projections(r, hyper, weights.layers[l], layers[l], input, all, scratch));
    QUIRE_TRY(record_rest_of_layer(r, hyper, weights.layers[l], layers[l], input, all, scratch));
  }
  const LayerWeights& last_weights = weights.layers[layers.size() - 1];
  const LayerAttention& last_attention = layers.back();
  QUIRE_TRY(record_projections(r, hyper, last_weights, last_attention, input, all, scratch));
  if (!input.outputs) {
    QUIRE_TRY(record_rest_of_layer(r, hyper, last_weights, last_attention, input, all, scratch));
    return all.x;
  }
  const StepOutputs& outputs = *input.outputs;
  if (outputs.column_count == 0) return Activation{};
  LayerActivations wanted = layer_activations(hyper, outputs.column_count, input.column_tile, scratch);
  std::swap(wanted.x, wanted.next);            // gathered out of `all.x`
  wanted.q.slice = scratch.slice({scratch.layout().qkv.offset_bytes, wanted.q.slice.size_bytes});  // and out of `all.q`; Q, K and V are done with
  QUIRE_TRY(record_gather_columns(r, all.x, outputs.sources, wanted.x));
  QUIRE_TRY(record_gather_columns(r, all.q, outputs.sources, wanted.q));
  StepInput wanted_input = input;
  wanted_input.column_count = outputs.column_count;
  wanted_input.columns = outputs.columns;
  wanted_input.attention_reads = outputs.attention_reads;
  QUIRE_TRY(record_rest_of_layer(r, hyper, last_weights, last_attention, wanted_input, wanted, scratch));
  return wanted.x;
}

Status record_logits(Recorder r, const Hyperparameters& hyper, const ModelWeights& weights, const Activation& hidden, BufferSlice selection,
                     uint32_t row_count, BufferSlice logits, Scratch& scratch) {
  const ScratchLayout& at = scratch.layout();
  const Activation input = scratch.activation(at.logit_input, hyper.embedding_length, row_count, 1);
  const Activation normed = scratch.activation(at.logit_normed, hyper.embedding_length, row_count, 1);
  QUIRE_TRY(record_gather_columns(r, hidden, selection, input));
  QUIRE_TRY(record_rms_norm(r, input, weights.output_norm, hyper.rms_epsilon, normed));
  return record_matmul(r, weights.output, normed, Activation{logits, hyper.vocabulary_size, row_count, 1});
}

}  // namespace quire
