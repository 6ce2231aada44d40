// What sets one architecture apart from the others: a row of a table. Everything that runs a model reads Hyperparameters, never a family's name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/model/hyperparameters.hpp"

namespace quire {

/// Sides of a tensor, as multiples of the hyperparameters.
enum class Extent : uint8_t { one, embedding, vocabulary, feed_forward, query, key, value, attended, head, rope_pairs };
uint64_t extent_of(const Hyperparameters& hyper, Extent extent);

enum class Presence : uint8_t { required, optional };

/// A tensor of a family: "blk.N." stands before the names of layer tensors. rows == one: a vector of F32, F16 or BF16.
struct TensorRule {
  std::string_view name;
  Extent width;
  Extent rows = Extent::one;
  Presence presence = Presence::required;
};

/// Where a family's layers may have windows.
enum class WindowRule : uint8_t {
  none,            ///< a window below the context is refused
  all_layers,      ///< unless the file names a pattern
  five_of_six,     ///< all but every sixth, unless the file names another pattern
};

enum class EmbeddingScale : uint8_t { one, root_of_width };

struct Family {
  std::string_view architecture;
  RopeOrder rope_order;
  GateFunction gate_function;
  EmbeddingScale embedding_scale;
  WindowRule windows;
  float window_rope_base;           ///< RoPE base of windowed layers, which are not scaled, unless the file names another; 0: as the other layers
  uint32_t width_scaled_layers;     ///< a model of this many layers scales attention by its width per head, not by its key length; 0: none
  std::span<const TensorRule> model_tensors;
  std::span<const TensorRule> layer_tensors;
};

/// Null if no family has this name.
const Family* find_family(std::string_view architecture);
/// "llama, qwen2, ...", for refusals.
std::string family_names();

}  // namespace quire
