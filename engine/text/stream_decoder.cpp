#include "engine/text/stream_decoder.hpp"

namespace quire {

std::string StreamDecoder::push(uint32_t id) {
  if (special_ == SpecialTokens::ignore && tokenizer_.token_type(id) == TokenType::control) return {};
  return repair_.push(tokenizer_.token_bytes(id));
}

std::string StreamDecoder::finish() { return repair_.finish(); }

}  // namespace quire
