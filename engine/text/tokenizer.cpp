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

Tokenizer::Tokenizer(Vocabulary vocabulary, std::variant<ByteLevelBpe> algorithm)
    : vocabulary_(std::move(vocabulary)), algorithm_(std::move(algorithm)) {}

Result<Tokenizer> Tokenizer::create(const GgufFile& file) {
  try {
    QUIRE_ASSIGN(const std::string_view model, file.get_string("tokenizer.ggml.model"));
    if (model != "gpt2") {
      return make_error(Code::unsupported, "the tokenizer model '%s' is not supported; supported: gpt2", std::string(model.substr(0, 80)).c_str());
    }
    QUIRE_ASSIGN(Vocabulary vocabulary, Vocabulary::read(file));
    return create_byte_level(file, std::move(vocabulary));
  } catch (const std::bad_alloc&) {
    return make_error(Code::out_of_host_memory, "no memory for the vocabulary");
  }
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  const SpanEnd whole{text.size(), special};
  return encode_joined(text, std::span(&whole, 1));
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::span<const TextSpan> spans) const {
  std::string joined;
  std::vector<SpanEnd> ends;
  for (const TextSpan& span : spans) {
    joined += span.text;
    ends.push_back({joined.size(), span.special});
  }
  return encode_joined(joined, ends);
}

Result<std::vector<uint32_t>> Tokenizer::encode_joined(std::string_view text, std::span<const SpanEnd> spans) const {
  if (text.size() > kLargestText) {
    return make_error(Code::invalid_argument, "the text has %zu bytes; at most %zu are possible", text.size(), kLargestText);
  }
  try {
    std::vector<uint32_t> ids;
    size_t plain_begin = 0;
    const auto encode_plain = [&](size_t end) -> Status {
      if (end == plain_begin) return {};
      return std::visit([&](const auto& algorithm) { return algorithm.encode(text.substr(plain_begin, end - plain_begin), ids); }, algorithm_);
    };
    auto span = spans.begin();
    for (size_t at = 0; at < text.size();) {
      while (span->end_bytes <= at) ++span;
      const size_t control_bytes = span->special == SpecialTokens::parse ? span->end_bytes - at : 0;
      const auto match = vocabulary_.match_special(text.substr(at), control_bytes);
      if (!match) {
        ++at;
        continue;
      }
      QUIRE_TRY(encode_plain(at));
      ids.push_back(match->id);
      at += match->size_bytes;
      plain_begin = at;
    }
    QUIRE_TRY(encode_plain(text.size()));
    return ids;
  } catch (const std::bad_alloc&) {
    return make_error(Code::out_of_host_memory, "no memory to tokenize %zu bytes", text.size());
  }
}

std::string Tokenizer::decode(std::span<const uint32_t> ids) const {
  std::string text;
  for (const uint32_t id : ids) {
    if (token_type(id) != TokenType::control) text += token_bytes(id);
  }
  return text;
}

}  // namespace quire
