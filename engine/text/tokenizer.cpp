#include "engine/text/tokenizer.hpp"

#include <new>

namespace quire {
namespace {

/// Offsets of symbols are 32-bit, and half of that is more text than any context holds.
constexpr size_t kLargestText = size_t{1} << 30;

Result<Tokenizer> create_byte_level(const GgufFile& file, Vocabulary vocabulary) {
  QUIRE_ASSIGN(ByteLevelBpe bpe, ByteLevelBpe::create(file, vocabulary));
  if (!file.has("tokenizer.ggml.add_bos_token")) vocabulary.add_bos = bpe.pre_tokenizer().add_bos && vocabulary.bos.has_value();
  return Tokenizer(std::move(vocabulary), std::move(bpe));
}

}  // namespace

Tokenizer::Tokenizer(Vocabulary vocabulary, Algorithm algorithm)
    : vocabulary_(std::move(vocabulary)), algorithm_(std::move(algorithm)) {}

Result<Tokenizer> Tokenizer::create(const GgufFile& file) {
  try {
    QUIRE_ASSIGN(const std::string_view model, file.get_string("tokenizer.ggml.model"));
    const bool byte_level = model == "gpt2";
    if (!byte_level && model != "llama") {
      return make_error(Code::unsupported, "the tokenizer model '%s' is not supported; supported: gpt2 (byte-level BPE), llama (SentencePiece BPE)",
                        std::string(model.substr(0, 80)).c_str());
    }
    QUIRE_ASSIGN(Vocabulary vocabulary, Vocabulary::read(file));
    if (byte_level) return create_byte_level(file, std::move(vocabulary));
    QUIRE_ASSIGN(SentencePieceBpe bpe, SentencePieceBpe::create(file, vocabulary));
    return Tokenizer(std::move(vocabulary), std::move(bpe));
  } catch (const std::bad_alloc&) {
    return make_error(Code::out_of_host_memory, "no memory for the vocabulary");
  }
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  const SpanEnd whole{text.size(), special};
  return encode_joined(text, std::span(&whole, 1), TextPosition::beginning);
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::span<const TextSpan> spans, TextPosition position) const {
  std::string joined;
  std::vector<SpanEnd> ends;
  for (const TextSpan& span : spans) {
    joined += span.text;
    ends.push_back({joined.size(), span.special});
  }
  return encode_joined(joined, ends, position);
}

Result<std::vector<uint32_t>> Tokenizer::encode_joined(std::string_view text, std::span<const SpanEnd> spans,
                                                       TextPosition position) const {
  if (text.size() > kLargestText) {
    return make_error(Code::invalid_argument, "the text has %zu bytes; at most %zu are possible", text.size(), kLargestText);
  }
  try {
    std::vector<uint32_t> ids;
    size_t plain_begin = 0;
    auto span = spans.begin();
    for (size_t at = 0; at < text.size();) {
      while (span->end_bytes <= at) ++span;
      const size_t control_bytes = span->special == SpecialTokens::parse ? span->end_bytes - at : 0;
      const auto match = vocabulary_.match_special(text.substr(at), control_bytes);
      if (!match) {
        ++at;
        continue;
      }
      QUIRE_TRY(encode_plain(text.substr(plain_begin, at - plain_begin), position, ids));
      ids.push_back(match->id);
      at += match->size_bytes;
      plain_begin = at;
      position = TextPosition::beginning;
    }
    QUIRE_TRY(encode_plain(text.substr(plain_begin), position, ids));
    return ids;
  } catch (const std::bad_alloc&) {
    return make_error(Code::out_of_host_memory, "no memory to tokenize %zu bytes", text.size());
  }
}

Status Tokenizer::encode_plain(std::string_view text, TextPosition position, std::vector<uint32_t>& ids) const {
  if (text.empty()) return {};
  std::string prefixed;
  if (vocabulary_.space_prefix && position == TextPosition::beginning) {
    prefixed.reserve(text.size() + 1);
    prefixed += ' ';
    text = prefixed.append(text);
  }
  return std::visit([&](const auto& algorithm) { return algorithm.encode(text, ids); }, algorithm_);
}

std::string_view Tokenizer::token_text(uint32_t id, TextPosition position) const {
  std::string_view text = token_bytes(id);
  if (vocabulary_.space_prefix && position == TextPosition::beginning && text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

std::string Tokenizer::decode(std::span<const uint32_t> ids) const {
  std::string text;
  TextPosition position = TextPosition::beginning;
  for (const uint32_t id : ids) {
    if (is_silent(id)) continue;
    text += token_text(id, position);
    position = TextPosition::continuation;
  }
  return text;
}

}  // namespace quire
