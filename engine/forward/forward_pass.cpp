#include "engine/forward/forward_pass.hpp"

#include <algorithm>

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

}  // namespace

Result<Activation> record_layers(Recorder r, const Hyperparameters& hyper, const ModelWeights& weights, std::span<const LayerAttention> layers,
                                 const StepInput& input, Scratch& scratch) {
  const ScratchLayout& at = scratch.layout();
  const auto activation = [&](const ScratchLayout::Range& range, uint32_t width) {
    return scratch.activation(range, width, input.column_count, input.column_tile);
  };
  const uint32_t q_rows = hyper.head_count * hyper.key_length;
  const uint32_t v_rows = hyper.head_count * hyper.value_length;
  const Activation normed = activation(at.normed, hyper.embedding_length);
  const Activation qkv = activation(at.qkv, q_rows + hyper.head_count_kv * (hyper.key_length + hyper.value_length));
  const Activation q = activation(at.q, q_rows);
  const Activation attended = activation(at.attended, v_rows);
  const Activation gate_up = activation(at.gate_up, 2 * hyper.feed_forward_length);
  const Activation gated = activation(at.gated, hyper.feed_forward_length);
  Activation x = activation(at.hidden[0], hyper.embedding_length);
  Activation next = activation(at.hidden[1], hyper.embedding_length);

  QUIRE_TRY(record_embed_rows(r, weights.embedding, input.columns, x, hyper.embedding_scale));
  for (size_t l = 0; l < layers.size(); ++l) {
    const LayerWeights& w = weights.layers[l];
    const LayerAttention& attention = layers[l];
    const StepTables tables{input.columns, input.sequences[attention.group], input.pages};

    QUIRE_TRY(record_rms_norm(r, x, w.attention_norm, hyper.rms_epsilon, normed));
    QUIRE_ASSIGN(const Activation attention_in, quantized_for(r, w.qkv, normed, scratch));
    QUIRE_TRY(record_matmul(r, w.qkv, attention_in, qkv, 0, w.qkv_bias));
    if (w.query_norm) QUIRE_TRY(record_head_norm(r, qkv, attention.shape, w.query_norm, w.key_norm, hyper.rms_epsilon));
    QUIRE_TRY(record_rope_page_write(r, qkv, input.rope[attention.rope_kind], hyper.rope_dimension_count, hyper.rope_order, attention.shape, tables, q));
    QUIRE_TRY(record_attention(r, attention, input, q, attended, scratch));
    QUIRE_ASSIGN(const Activation attention_out, quantized_for(r, w.attention_out, attended, scratch));
    QUIRE_TRY(record_addition(r, w.attention_out, w.attention_out_bias, w.post_attention_norm, hyper.rms_epsilon, attention_out, x, normed, next));

    QUIRE_TRY(record_rms_norm(r, next, w.feed_forward_norm, hyper.rms_epsilon, normed));
    QUIRE_ASSIGN(const Activation feed_forward_in, quantized_for(r, w.gate_up, normed, scratch));
    QUIRE_TRY(record_gated_matmul(r, w.gate_up, feed_forward_in, hyper.gate_function, w.gate_up_bias, gate_up, gated));
    QUIRE_ASSIGN(const Activation feed_forward_out, quantized_for(r, w.down, gated, scratch));
    QUIRE_TRY(record_addition(r, w.down, w.down_bias, w.post_feed_forward_norm, hyper.rms_epsilon, feed_forward_out, next, normed, x));
  }
  return x;
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
