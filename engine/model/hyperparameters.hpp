// The numbers that describe a model, read from its file and checked, and the tensors that its family demands.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/model/gguf_reader.hpp"
#include "engine/model/rope.hpp"

namespace quire {

/// What the gate's rows go through before they scale the up rows: x / (1 + exp(-x)), or GELU in its tanh form. (Shazeer 2020)
enum class GateFunction : uint32_t { silu = 0, gelu = 1 };

/// Every value is plausible once read_hyperparameters returned it; products of any two fit 64 bits.
struct Hyperparameters {
  std::string architecture;            ///< "llama"
  uint32_t block_count = 0;            ///< layers
  uint32_t context_length = 0;         ///< tokens the model was trained for
  uint32_t embedding_length = 0;
  uint32_t feed_forward_length = 0;
  uint32_t head_count = 0;             ///< of Q; a multiple of head_count_kv
  uint32_t head_count_kv = 0;
  uint32_t key_length = 0;             ///< elements of a Q or K head: a multiple of 8, at most 256
  uint32_t value_length = 0;           ///< elements of a V head: as key_length
  uint32_t rope_dimension_count = 0;   ///< first elements of a head that RoPE turns; even
  RopeOrder rope_order = RopeOrder::normal;
  std::vector<RopeKind> rope_kinds;    ///< [0] of layers that see everything; [1], if there is one, of windowed layers
  GateFunction gate_function = GateFunction::silu;
  float embedding_scale = 1.0f;        ///< of the embedded tokens
  float attention_scale = 0.0f;        ///< of attention scores; usually 1 / sqrt(key_length) (Vaswani et al. 2017)
  float rms_epsilon = 0.0f;
  uint32_t vocabulary_size = 0;
  uint32_t sliding_window = 0;         ///< tokens a windowed layer sees; 0: no layer is windowed
  uint32_t sliding_window_pattern = 0; ///< every n-th layer (the last of n) sees everything; 0: all layers are windowed, if any is
  bool tied_embeddings = false;        ///< the file has no output matrix: the token embedding is used

  /// The window of one layer; 0: it sees everything.
  uint32_t layer_window(uint32_t layer) const {
    const bool global = sliding_window_pattern != 0 && (layer + 1) % sliding_window_pattern == 0;
    return global ? 0 : sliding_window;
  }
  /// Index into rope_kinds.
  uint32_t layer_rope_kind(uint32_t layer) const { return rope_kinds.size() > 1 && layer_window(layer) != 0 ? 1 : 0; }
};

/// On error: corrupt (a value is missing, of another type or implausible), unsupported (architecture or feature, by name).
Result<Hyperparameters> read_hyperparameters(const GgufFile& file);

/// Whether every tensor of the family is there with its shape and none is there that the family does not use.
/// On error: corrupt (names the first tensor that is missing or has another shape), unsupported (names a tensor with no meaning here).
Status check_tensors(const GgufFile& file, const Hyperparameters& hyper);

/// A tensor of F32, F16 or BF16 elements as floats. On error: io, unsupported (names another type).
Result<std::vector<float>> read_float_tensor(const ByteSource& source, const TensorInfo& tensor);
/// Whether read_float_tensor can read this type.
bool is_float_tensor(GgmlType type);

}  // namespace quire
