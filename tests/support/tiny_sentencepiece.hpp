// A small SentencePiece vocabulary, as Llama 2's is laid out.
#pragma once

#include <cstdio>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/gguf_writer.hpp"

namespace quire::testing {

inline constexpr uint32_t kPieceUnknown = 0, kPieceBos = 1, kPieceEos = 2, kPieceFirstByte = 3, kPieceFirst = 259;

/// <unk>, <s>, </s>, the 256 bytes in order, and these pieces from kPieceFirst on; the scores rank them.
inline std::vector<std::pair<std::string, float>> tiny_pieces() {
  return {{"\xE2\x96\x81", -1}, {"h", -2}, {"e", -3}, {"l", -4}, {"o", -5}, {"he", -6}, {"ll", -7}, {"hell", -8}, {"hello", -9}, {"\xE2\x96\x81hello", -10},
          {"\xE2\x96\x81h", -11}, {"lo", -6.5f}};
}

inline std::string byte_piece(uint32_t byte) {
  char name[8];
  std::snprintf(name, sizeof name, "<0x%02X>", byte & 0xFFu);
  return name;
}

struct SentencePieces {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;

  SentencePieces() {
    for (const char* name : {"<unk>", "<s>", "</s>"}) add(name, 3, 0);
    types[kPieceUnknown] = 2;
    for (uint32_t byte = 0; byte < 256; ++byte) add(byte_piece(byte), 6, 0);
    for (const auto& [text, score] : tiny_pieces()) add(text, 1, score);
  }
  uint32_t add(std::string text, int32_t type, float score) {
    tokens.push_back(std::move(text));
    types.push_back(type);
    scores.push_back(score);
    return static_cast<uint32_t>(tokens.size()) - 1;
  }
  /// Replaces the tokenizer of a file, if it has one.
  void write(GgufWriter& writer) const {
    for (const char* key : {"model", "pre", "tokens", "token_type", "scores", "merges", "bos_token_id", "eos_token_id", "unknown_token_id"})
      writer.remove("tokenizer.ggml." + std::string(key));
    writer.add_string("tokenizer.ggml.model", "llama");
    writer.add_strings("tokenizer.ggml.tokens", tokens);
    writer.add_i32s("tokenizer.ggml.token_type", types);
    writer.add_f32s("tokenizer.ggml.scores", scores);
    writer.add_u32("tokenizer.ggml.bos_token_id", kPieceBos);
    writer.add_u32("tokenizer.ggml.eos_token_id", kPieceEos);
    writer.add_u32("tokenizer.ggml.unknown_token_id", kPieceUnknown);
  }
};

}  // namespace quire::testing
