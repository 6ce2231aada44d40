// The activations of a step: one set a model, sized for its largest step and used again by every step.
#pragma once

#include <cstdint>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "engine/forward/kernels.hpp"
#include "engine/model/hyperparameters.hpp"

namespace quire {

/// Most rows of logits computed at once; a step that wants more does so in rounds.
inline constexpr uint32_t kLogitRows = 8;

/// What a step may hold at most; every scratch size follows from it.
struct StepCapacity {
  uint32_t prompt_columns = 0;     ///< columns of the many-token family, padding included
  uint32_t quantized_columns = 0;  ///< prompt_columns where products read 8-bit codes of activations, else 0
  uint32_t generated_columns = 0;  ///< columns of the one-token family
  uint32_t split_count = 1;        ///< attention splits of the longest sequence allowed
};

/// Byte offsets of every part in one buffer: computed without a device, so that the prediction is what gets allocated.
struct ScratchLayout {
  struct Range {
    uint64_t offset_bytes = 0;
    uint64_t size_bytes = 0;
  };
  Range hidden[2];     ///< [embedding]: the residual stream, written from one to the other
  Range normed;        ///< [embedding]
  Range qkv;           ///< [q_heads * k_dim + kv_heads * (k_dim + v_dim)]
  Range q;             ///< [q_heads * k_dim]
  Range attended;      ///< [q_heads * v_dim]
  Range partials;      ///< attend_decode's
  Range gate_up;       ///< [2 * feed_forward]
  Range gated;         ///< [feed_forward]
  Range codes;         ///< of the activation that the next product reads
  Range logit_input;   ///< [embedding] x kLogitRows
  Range logit_normed;  ///< [embedding] x kLogitRows
  Range logits;        ///< [vocabulary] x kLogitRows
  uint64_t total_bytes = 0;
  static ScratchLayout plan(const Hyperparameters& hyper, const StepCapacity& capacity);
};

class Scratch {
 public:
  /// On error: out_of_device_memory, invalid_argument (larger than one buffer may be).
  static Result<Scratch> create(Device& device, const Hyperparameters& hyper, const StepCapacity& capacity);
  BufferSlice slice(const ScratchLayout::Range& range) const { return buffer_.slice(range.offset_bytes, range.size_bytes); }
  /// The first column_count columns of `range` as an activation of `width`.
  Activation activation(const ScratchLayout::Range& range, uint32_t width, uint32_t column_count, uint32_t column_tile) const {
    return {buffer_.slice(range.offset_bytes, Activation::bytes(width, column_count)), width, column_count, column_tile};
  }
  const ScratchLayout& layout() const { return layout_; }
  uint64_t size_bytes() const { return buffer_.size_bytes(); }

 private:
  ScratchLayout layout_;
  Buffer buffer_;
};

}  // namespace quire
