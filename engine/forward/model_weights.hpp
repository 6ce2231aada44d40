// A model's weights on the device: planned first (so that their bytes are known without a device), then read, rearranged and uploaded.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/device/device.hpp"
#include "engine/forward/kernels.hpp"
#include "engine/model/gguf_reader.hpp"
#include "engine/model/hyperparameters.hpp"
#include "engine/platform/byte_source.hpp"

namespace quire {

/// Empty slices: the model has no such part.
struct LayerWeights {
  BufferSlice attention_norm;       ///< f32 [embedding]
  WeightMatrix qkv;                 ///< rows of Q, then K, then V; [.., embedding]
  BufferSlice qkv_bias;             ///< f32 [rows of qkv]
  BufferSlice query_norm;           ///< f32 [k_dim], of every head of Q
  BufferSlice key_norm;             ///< f32 [k_dim], of every head of K
  WeightMatrix attention_out;       ///< [embedding, q_heads * v_dim]
  BufferSlice attention_out_bias;   ///< f32 [embedding]
  BufferSlice post_attention_norm;  ///< f32 [embedding], of what attention adds to the residual stream
  BufferSlice feed_forward_norm;    ///< f32 [embedding]
  WeightMatrix gate_up;             ///< rows of gate, then up; [2 * feed_forward, embedding]
  BufferSlice gate_up_bias;         ///< f32 [2 * feed_forward]
  WeightMatrix down;                ///< [embedding, feed_forward]
  BufferSlice down_bias;            ///< f32 [embedding]
  BufferSlice post_feed_forward_norm;  ///< f32 [embedding], of what the feed-forward part adds to the residual stream
};

/// Where everything lies: a list of pieces, each some rows of one or more tensors of one type, at an offset of one arena buffer.
struct WeightPlan {
  struct Source {
    const TensorInfo* tensor = nullptr;  ///< null in a vector: zeros
    uint32_t row_begin = 0;     ///< within the tensor
    uint32_t row_count = 0;
  };
  struct Piece {
    WeightType type = WeightType::none;
    bool vector = false;        ///< a plain f32 array (norms, biases): never tiled; its sources follow each other in it
    uint32_t width = 0;
    uint32_t row_begin = 0;     ///< within the stacked matrix
    uint32_t row_count = 0;
    std::vector<Source> sources;  ///< in row order
    uint32_t buffer = 0;
    uint64_t offset_bytes = 0;
    uint64_t size_bytes = 0;
  };
  struct Matrix {
    uint32_t rows = 0;
    uint32_t width = 0;
    std::vector<Piece> pieces;
  };
  /// As LayerWeights; without pieces: the model has no such part.
  struct Layer {
    Matrix attention_norm, qkv, qkv_bias, query_norm, key_norm, attention_out, attention_out_bias, post_attention_norm;
    Matrix feed_forward_norm, gate_up, gate_up_bias, down, down_bias, post_feed_forward_norm;
  };
  Matrix embedding;
  std::vector<Layer> layers;
  Matrix output_norm;
  Matrix output;                         ///< empty when tied to the embedding
  std::vector<uint64_t> buffer_bytes;    ///< one device buffer each
  uint64_t total_bytes() const;
};

/// Requires: the file passed check_tensors for these hyperparameters (every tensor is there and has its shape).
/// On error: unsupported (a weight type this build has no kernels for; names the tensor and type), invalid_argument (a row too large for a buffer).
Result<WeightPlan> plan_weights(const GgufFile& file, const Hyperparameters& hyper, const Limits& limits, const VariantSet& variants);

class ModelWeights {
 public:
  using Progress = std::function<bool(uint64_t done_bytes, uint64_t total_bytes)>;
  /// Reads, rearranges and uploads. On error: io, cancelled, out_of_device_memory, device_lost; nothing stays allocated.
  static Result<ModelWeights> load(Device& device, const ByteSource& source, const WeightPlan& plan, const VariantSet& variants, const Progress& progress);

  WeightMatrix embedding;                ///< [vocabulary, embedding]
  std::vector<LayerWeights> layers;
  BufferSlice output_norm;
  WeightMatrix output;                   ///< [vocabulary, embedding]; the embedding's parts when tied
  uint64_t allocated_bytes() const;

 private:
  std::vector<Buffer> buffers_;
};

}  // namespace quire
