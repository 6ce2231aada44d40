// How rotary position embedding turns the pairs of a head (Su et al. 2021), with the scalings that stretch a trained context: linear (Chen et
// al. 2023), by a factor a pair (Llama 3.1), and YaRN (Peng et al. 2023). Constants and roundings are those of ggml, whose files these are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace quire {

/// Which elements of a head RoPE turns together: (2i, 2i + 1), or (i, i + rope_dimension_count / 2).
enum class RopeOrder : uint32_t { normal = 0, neox = 1 };

/// The rotation of one kind of layer, as a file describes it.
struct RopeKind {
  float base = 10000.0f;
  float factor = 1.0f;             ///< positions are divided by it; with YaRN those of slow pairs only
  float extrapolation = 0.0f;      ///< YaRN's share of the unscaled angle in fast pairs; 0: no YaRN
  float beta_fast = 32.0f;         ///< YaRN: pairs that turn more often than this in the original context are fast,
  float beta_slow = 1.0f;          ///< those that turn less often than this are slow; in between it blends
  uint32_t original_context = 0;   ///< tokens; YaRN only
  float magnitude = 1.0f;          ///< of cos and sin, beside YaRN's own
};

/// A pair's angle at position p is p * frequency[pair]; cos and sin of it are multiplied by magnitude.
struct RopeFrequencies {
  std::vector<double> frequency;
  double magnitude = 1;
};

/// `pair_factors` divides the frequencies pair by pair; empty: by 1. Requires: rope_dim is even; pair_factors is empty or has rope_dim / 2 elements.
RopeFrequencies rope_frequencies(const RopeKind& kind, uint32_t rope_dim, std::span<const float> pair_factors);

}  // namespace quire
