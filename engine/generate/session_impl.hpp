// What a Session holds; seen by the files of engine/generate only.
#pragma once

#include "engine/generate/model_impl.hpp"
#include "engine/generate/session.hpp"

namespace quire {

struct Session::Impl {
  Model* model = nullptr;
  SessionOptions options;
  SeqId sequence{};
  std::vector<uint32_t> tokens;
  std::vector<Phase> phases;             ///< one a token
  uint32_t computed = 0;
  OutputRequest request;                 ///< for the tokens appended since the last append
  OutputRequest next_request;            ///< from the next append on
  bool in_step = false;

  /// Results of the newest token; valid while `result_length` equals computed and nothing is pending.
  Buffer newest_logits;                  ///< device, f32 [vocabulary]
  ArgmaxResult newest_argmax{};
  uint32_t result_length = 0;            ///< number of tokens the results belong to; 0: none
  std::vector<float> host_logits;        ///< f32 [host_positions][vocabulary]: the positions up to result_length
  uint32_t host_positions = 0;

  bool has_results() const { return result_length != 0 && result_length == computed && computed == tokens.size(); }
  void forget_results();
  Status check_results() const;
};

/// Reads `size_bytes` of device memory into host memory: one copy, one wait.
Status read_back(Device& device, BufferSlice source, std::span<std::byte> destination);

}  // namespace quire
