#include "engine/forward/model_weights.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <string>

#include "engine/forward/weight_layout.hpp"

namespace quire {
namespace {

/// Pieces start at this alignment, so that every load of a tile is aligned whatever precedes it.
constexpr uint64_t kPieceAlignment = 256;
/// Weights are packed into buffers of at most this size (or of one piece, where that is larger): few allocations, none so large that a
/// fragmented heap has no place for it.
constexpr uint64_t kArenaBytes = uint64_t{256} << 20;
/// Bytes read, rearranged and staged at a time.
constexpr uint64_t kStagingBytes = uint64_t{8} << 20;
/// Rounds that the device may still be copying while the next is read and rearranged: with that one, all that loading holds on the host.
constexpr size_t kRoundsInFlight = 2;
constexpr std::chrono::seconds kUploadTimeout{120};

/// Stacks tensors into one matrix and cuts it into pieces.
class WeightPlanner {
 public:
  WeightPlanner(const GgufFile& file, const Limits& limits, const VariantSet& variants) : file_(file), limits_(limits), variants_(variants) {}

  /// Consecutive tensors of one type become one piece; a piece that no buffer can hold is cut at tile boundaries.
  Result<WeightPlan::Matrix> matrix(std::initializer_list<std::string> names) {
    WeightPlan::Matrix matrix;
    for (const std::string& name : names) {
      const TensorInfo* tensor = file_.find_tensor(name);
      const auto type = weight_type_from_ggml(static_cast<uint32_t>(tensor->type));
      if (!type)
        return make_error(Code::unsupported, "tensor %s has weight type %s, which this build has no kernels for", name.c_str(),
                          std::string(ggml_type_name(tensor->type)).c_str());
      const auto rows = static_cast<uint32_t>(tensor->dims[1]);
      matrix.width = static_cast<uint32_t>(tensor->dims[0]);
      const WeightPlan::Source source{tensor, 0, rows};
      if (!matrix.pieces.empty() && matrix.pieces.back().type == *type) {
        matrix.pieces.back().sources.push_back(source);
        matrix.pieces.back().row_count += rows;
      } else {
        matrix.pieces.push_back({.type = *type, .width = matrix.width, .row_begin = matrix.rows, .row_count = rows, .sources = {source}});
      }
      matrix.rows += rows;
    }
    QUIRE_TRY(cut(matrix));
    for (WeightPlan::Piece& piece : matrix.pieces) place(piece);
    return matrix;
  }

  /// A part of a vector: a tensor of `width` floats, or zeros where the file has none.
  struct VectorPart {
    std::string name;
    uint32_t width;
  };
  /// One f32 array of the parts in order; empty if the file has none of them.
  WeightPlan::Matrix vector(std::initializer_list<VectorPart> parts) {
    WeightPlan::Piece piece{.type = WeightType::f32, .vector = true, .row_count = 1};
    bool found = false;
    for (const VectorPart& part : parts) {
      const TensorInfo* tensor = file_.find_tensor(part.name);
      found |= tensor != nullptr;
      piece.sources.push_back({tensor, 0, part.width});
      piece.width += part.width;
    }
    if (!found) return {};
    place(piece);
    return {.rows = 1, .width = piece.width, .pieces = {std::move(piece)}};
  }

  std::vector<uint64_t> buffer_bytes() && { return std::move(buffer_bytes_); }

 private:
  uint64_t piece_bytes(const WeightPlan::Piece& piece) const {
    if (piece.vector) return uint64_t{piece.width} * sizeof(float);
    return packed_bytes(limits_.weight_layout, variants_.tile_rows, piece.type, piece.row_count, piece.width);
  }

  Status cut(WeightPlan::Matrix& matrix) const {
    std::vector<WeightPlan::Piece> pieces;
    for (WeightPlan::Piece& whole : matrix.pieces) {
      const uint64_t tile_bytes = packed_bytes(limits_.weight_layout, variants_.tile_rows, whole.type, variants_.tile_rows, whole.width);
      const uint64_t most_tiles = std::min(limits_.max_buffer_bytes, kMostAddressedBytes) / tile_bytes;
      if (most_tiles == 0)
        return make_error(Code::unsupported, "%u rows of %llu bytes do not fit the device's largest buffer of %llu bytes", variants_.tile_rows,
                          static_cast<unsigned long long>(tile_bytes / variants_.tile_rows), static_cast<unsigned long long>(limits_.max_buffer_bytes));
      const auto most_rows = static_cast<uint32_t>(std::min<uint64_t>(most_tiles * variants_.tile_rows, UINT32_MAX));
      for (uint32_t row = 0; row < whole.row_count; row += std::min(most_rows, whole.row_count - row)) {
        const uint32_t count = std::min(most_rows, whole.row_count - row);
        pieces.push_back({.type = whole.type, .width = whole.width, .row_begin = whole.row_begin + row, .row_count = count,
                          .sources = take_rows(whole.sources, row, count)});
      }
    }
    matrix.pieces = std::move(pieces);
    return {};
  }

  static std::vector<WeightPlan::Source> take_rows(const std::vector<WeightPlan::Source>& sources, uint32_t begin, uint32_t count) {
    std::vector<WeightPlan::Source> taken;
    uint32_t at = 0;
    for (const WeightPlan::Source& source : sources) {
      const uint32_t first = std::max(begin, at), end = std::min(begin + count, at + source.row_count);
      if (first < end) taken.push_back({source.tensor, source.row_begin + first - at, end - first});
      at += source.row_count;
    }
    return taken;
  }

  void place(WeightPlan::Piece& piece) {
    piece.size_bytes = piece_bytes(piece);
    const uint64_t room = std::min(kArenaBytes, limits_.max_buffer_bytes);
    if (!buffer_bytes_.empty()) {
      const uint64_t offset = (buffer_bytes_.back() + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
      if (offset + piece.size_bytes <= room) {
        piece.offset_bytes = offset;
        piece.buffer = static_cast<uint32_t>(buffer_bytes_.size() - 1);
        buffer_bytes_.back() = offset + piece.size_bytes;
        return;
      }
    }
    piece.buffer = static_cast<uint32_t>(buffer_bytes_.size());
    buffer_bytes_.push_back(piece.size_bytes);
  }

  const GgufFile& file_;
  const Limits& limits_;
  const VariantSet& variants_;
  std::vector<uint64_t> buffer_bytes_;
};

/// Reads pieces from the file and puts them, rearranged, into their buffers.
class WeightUploader {
 public:
  WeightUploader(Device& device, const ByteSource& source, const VariantSet& variants, std::vector<Buffer>& buffers, uint64_t total_bytes,
                 const ModelWeights::Progress& progress)
      : device_(device), source_(source), variants_(variants), buffers_(buffers), total_bytes_(total_bytes), progress_(progress) {}

  Status upload(const WeightPlan::Piece& piece) {
    if (piece.vector) return upload_vector(piece);
    const uint64_t row_bytes = file_row_bytes(piece.type, piece.width);
    const auto tiles_per_round = static_cast<uint32_t>(std::max<uint64_t>(1, kStagingBytes / (row_bytes * variants_.tile_rows)));
    const uint32_t rows_per_round = tiles_per_round * variants_.tile_rows;
    for (uint32_t row = 0; row < piece.row_count; row += std::min(rows_per_round, piece.row_count - row)) {
      const uint32_t count = std::min(rows_per_round, piece.row_count - row);
      rows_.resize(count * row_bytes);
      QUIRE_TRY(read_rows(piece, row, count, row_bytes));
      packed_.resize(packed_bytes(device_.limits().weight_layout, variants_.tile_rows, piece.type, count, piece.width));
      pack_rows(device_.limits().weight_layout, variants_.tile_rows, piece.type, count, piece.width, rows_, packed_);
      const uint64_t offset = piece.offset_bytes + packed_bytes(device_.limits().weight_layout, variants_.tile_rows, piece.type, row, piece.width);
      QUIRE_TRY(put(piece.buffer, offset));
    }
    return {};
  }

  /// Waits for what is still being copied. To be called when every piece was uploaded.
  Status finish() {
    while (!in_flight_.empty()) QUIRE_TRY(wait_for_oldest());
    return {};
  }

 private:
  Status upload_vector(const WeightPlan::Piece& piece) {
    packed_.assign(piece.size_bytes, std::byte{0});
    size_t at = 0;
    for (const WeightPlan::Source& source : piece.sources) {
      if (source.tensor != nullptr) {
        QUIRE_ASSIGN(const std::vector<float> values, read_float_tensor(source_, *source.tensor));
        std::memcpy(packed_.data() + at, values.data(), values.size() * sizeof(float));
      }
      at += source.row_count * sizeof(float);
    }
    return put(piece.buffer, piece.offset_bytes);
  }

  Status read_rows(const WeightPlan::Piece& piece, uint32_t begin, uint32_t count, uint64_t row_bytes) {
    uint32_t at = 0;
    for (const WeightPlan::Source& source : piece.sources) {
      const uint32_t first = std::max(begin, at), end = std::min(begin + count, at + source.row_count);
      if (first < end) {
        const std::span<std::byte> rows = std::span(rows_).subspan((first - begin) * row_bytes, (end - first) * row_bytes);
        QUIRE_TRY(source_.read_at(source.tensor->offset_bytes + (source.row_begin + first - at) * row_bytes, rows));
      }
      at += source.row_count;
    }
    return {};
  }

  /// Straight into memory where the host sees it, else through staging; the copy is not waited for.
  Status put(uint32_t buffer, uint64_t offset_bytes) {
    done_bytes_ += packed_.size();
    const std::span<std::byte> mapped = buffers_[buffer].mapped();
    if (!mapped.empty()) {
      std::memcpy(mapped.data() + offset_bytes, packed_.data(), packed_.size());
    } else {
      Encoder encoder = device_.encoder();
      QUIRE_TRY(encoder.upload(buffers_[buffer].slice(offset_bytes, packed_.size()), packed_));
      QUIRE_ASSIGN(const uint64_t value, device_.submit(std::move(encoder)));
      in_flight_.push_back(value);
      if (in_flight_.size() > kRoundsInFlight) QUIRE_TRY(wait_for_oldest());
    }
    if (progress_ && !progress_(done_bytes_, total_bytes_)) return make_error(Code::cancelled, "loading was stopped by the caller");
    return {};
  }

  Status wait_for_oldest() {
    const uint64_t value = in_flight_.front();
    in_flight_.pop_front();
    return device_.wait(value, kUploadTimeout);
  }

  Device& device_;
  const ByteSource& source_;
  const VariantSet& variants_;
  std::vector<Buffer>& buffers_;
  uint64_t total_bytes_;
  const ModelWeights::Progress& progress_;
  uint64_t done_bytes_ = 0;
  std::vector<std::byte> rows_;
  std::vector<std::byte> packed_;
  std::deque<uint64_t> in_flight_;  ///< timeline values, oldest first
};

template <class F>
Status for_each_matrix(const WeightPlan::Layer& layer, F&& f) {
  for (const auto* matrix :
       {&layer.attention_norm, &layer.qkv, &layer.qkv_bias, &layer.query_norm, &layer.key_norm, &layer.attention_out, &layer.attention_out_bias,
        &layer.post_attention_norm, &layer.feed_forward_norm, &layer.gate_up, &layer.gate_up_bias, &layer.down, &layer.down_bias,
        &layer.post_feed_forward_norm})
    QUIRE_TRY(f(*matrix));
  return {};
}

Result<WeightPlan::Layer> plan_layer(WeightPlanner& planner, const Hyperparameters& hyper, const std::string& prefix) {
  const uint32_t width = hyper.embedding_length, feed_forward = hyper.feed_forward_length;
  const uint32_t query = hyper.head_count * hyper.key_length, key = hyper.head_count_kv * hyper.key_length;
  const uint32_t value = hyper.head_count_kv * hyper.value_length;
  WeightPlan::Layer layer;
  layer.attention_norm = planner.vector({{prefix + "attn_norm.weight", width}});
  QUIRE_ASSIGN(layer.qkv, planner.matrix({prefix + "attn_q.weight", prefix + "attn_k.weight", prefix + "attn_v.weight"}));
  layer.qkv_bias = planner.vector({{prefix + "attn_q.bias", query}, {prefix + "attn_k.bias", key}, {prefix + "attn_v.bias", value}});
  layer.query_norm = planner.vector({{prefix + "attn_q_norm.weight", hyper.key_length}});
  layer.key_norm = planner.vector({{prefix + "attn_k_norm.weight", hyper.key_length}});
  QUIRE_ASSIGN(layer.attention_out, planner.matrix({prefix + "attn_output.weight"}));
  layer.attention_out_bias = planner.vector({{prefix + "attn_output.bias", width}});
  layer.post_attention_norm = planner.vector({{prefix + "post_attention_norm.weight", width}});
  layer.feed_forward_norm = planner.vector({{prefix + "ffn_norm.weight", width}});
  QUIRE_ASSIGN(layer.gate_up, planner.matrix({prefix + "ffn_gate.weight", prefix + "ffn_up.weight"}));
  layer.gate_up_bias = planner.vector({{prefix + "ffn_gate.bias", feed_forward}, {prefix + "ffn_up.bias", feed_forward}});
  QUIRE_ASSIGN(layer.down, planner.matrix({prefix + "ffn_down.weight"}));
  layer.down_bias = planner.vector({{prefix + "ffn_down.bias", width}});
  layer.post_feed_forward_norm = planner.vector({{prefix + "post_ffw_norm.weight", width}});
  return layer;
}

}  // namespace

uint64_t WeightPlan::total_bytes() const {
  uint64_t total = 0;
  for (const uint64_t bytes : buffer_bytes) total += bytes;
  return total;
}

Result<WeightPlan> plan_weights(const GgufFile& file, const Hyperparameters& hyper, const Limits& limits, const VariantSet& variants) {
  WeightPlan plan;
  WeightPlanner planner(file, limits, variants);
  QUIRE_ASSIGN(plan.embedding, planner.matrix({"token_embd.weight"}));
  for (uint32_t l = 0; l < hyper.block_count; ++l) {
    QUIRE_ASSIGN(WeightPlan::Layer layer, plan_layer(planner, hyper, "blk." + std::to_string(l) + "."));
    plan.layers.push_back(std::move(layer));
  }
  plan.output_norm = planner.vector({{"output_norm.weight", hyper.embedding_length}});
  if (file.find_tensor("output.weight") != nullptr) {
    QUIRE_ASSIGN(plan.output, planner.matrix({"output.weight"}));
  }
  plan.buffer_bytes = std::move(planner).buffer_bytes();
  return plan;
}

uint64_t ModelWeights::allocated_bytes() const {
  uint64_t bytes = 0;
  for (const Buffer& buffer : buffers_) bytes += buffer.size_bytes();
  return bytes;
}

Result<ModelWeights> ModelWeights::load(Device& device, const ByteSource& source, const WeightPlan& plan, const VariantSet& variants,
                                        const Progress& progress) {
  ModelWeights weights;
  for (const uint64_t bytes : plan.buffer_bytes) {
    QUIRE_ASSIGN(Buffer buffer, device.create_buffer(bytes, BufferUse::device, "weights"));
    weights.buffers_.push_back(std::move(buffer));
  }
  WeightUploader uploader(device, source, variants, weights.buffers_, plan.total_bytes(), progress);
  const auto upload = [&](const WeightPlan::Matrix& matrix) -> Status {
    for (const WeightPlan::Piece& piece : matrix.pieces) QUIRE_TRY(uploader.upload(piece));
    return {};
  };
  QUIRE_TRY(upload(plan.embedding));
  for (const WeightPlan::Layer& layer : plan.layers) QUIRE_TRY(for_each_matrix(layer, upload));
  QUIRE_TRY(upload(plan.output_norm));
  QUIRE_TRY(upload(plan.output));
  QUIRE_TRY(uploader.finish());

  const auto slice = [&](const WeightPlan::Piece& piece) { return weights.buffers_[piece.buffer].slice(piece.offset_bytes, piece.size_bytes); };
  const auto matrix = [&](const WeightPlan::Matrix& planned) {
    WeightMatrix result{planned.rows, planned.width, {}};
    for (const WeightPlan::Piece& piece : planned.pieces) result.parts.push_back({piece.type, slice(piece), piece.row_begin, piece.row_count});
    return result;
  };
  const auto vector = [&](const WeightPlan::Matrix& planned) { return planned.pieces.empty() ? BufferSlice{} : slice(planned.pieces[0]); };
  weights.embedding = matrix(plan.embedding);
  for (const WeightPlan::Layer& l : plan.layers)
    weights.layers.push_back({.attention_norm = vector(l.attention_norm),
                              .qkv = matrix(l.qkv),
                              .qkv_bias = vector(l.qkv_bias),
                              .query_norm = vector(l.query_norm),
                              .key_norm = vector(l.key_norm),
                              .attention_out = matrix(l.attention_out),
                              .attention_out_bias = vector(l.attention_out_bias),
                              .post_attention_norm = vector(l.post_attention_norm),
                              .feed_forward_norm = vector(l.feed_forward_norm),
                              .gate_up = matrix(l.gate_up),
                              .gate_up_bias = vector(l.gate_up_bias),
                              .down = matrix(l.down),
                              .down_bias = vector(l.down_bias),
                              .post_feed_forward_norm = vector(l.post_feed_forward_norm)});
  weights.output_norm = vector(plan.output_norm);
  weights.output = plan.output.pieces.empty() ? weights.embedding : matrix(plan.output);
  return weights;
}

}  // namespace quire
