#include "engine/text/stream_decoder.hpp"

namespace quire {

std::string StreamDecoder::push(uint32_t id) {
  if (special_ == SpecialTokens::ignore && tokenizer_.is_silent(id)) return {};
  const std::string_view text = tokenizer_.token_text(id, position_);
  position_ = TextPosition::continuation;
  return repair_.push(text);
}

std::string StreamDecoder::finish() {
  position_ = TextPosition::beginning;
  return repair_.finish();
}

}  // namespace quire
