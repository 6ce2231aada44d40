#include "engine/text/pre_tokenizer.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <memory>

#include "engine/text/utf8.hpp"

namespace quire {
namespace {

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

/// Everything one split needs beside the compiled patterns, which all splits share.
struct PreTokenizer::Matcher {
  std::unique_ptr<pcre2_match_data, FreeMatch> data;
  std::unique_ptr<pcre2_match_context, FreeContext> context;
  std::vector<size_t> words;
  std::vector<size_t> next_words;
};

struct PreTokenizer::Pattern {
  std::unique_ptr<pcre2_code, FreeCode> code;

  /// Appends the ends of the words of text[begin, end), which is valid UTF-8: matches, and what lies between them.
  void split(std::string_view text, size_t begin, size_t end, const Matcher& matcher, std::vector<size_t>& ends) const;
};

void PreTokenizer::Pattern::split(std::string_view text, size_t begin, size_t end, const Matcher& matcher, std::vector<size_t>& ends) const {
  // A subject of its own, so that look-ahead and \s see the word's end as the end of the text.
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data() + begin);
  const size_t size = end - begin;
  size_t at = 0;
  while (at < size) {
    const int count = pcre2_match(code.get(), subject, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, matcher.data.get(), matcher.context.get());
    // No match, or one that PCRE2's own limits ended: the rest is one word.
    if (count < 0) break;
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(matcher.data.get());
    if (found[0] > at) ends.push_back(begin + found[0]);
    ends.push_back(begin + found[1]);
    at = found[1];
  }
  if (at < size) ends.push_back(end);
}

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::create(std::string_view name) {
  const PreTokenizerFamily* family = find_pre_tokenizer_family(name);
  if (family == nullptr) {
    std::string known;
    for (const PreTokenizerFamily& f : pre_tokenizer_families()) known += (known.empty() ? "" : " ") + std::string(f.names);
    return make_error(Code::unsupported, "the pre-tokenizer '%s' is not supported; supported: %s", std::string(name.substr(0, 80)).c_str(), known.c_str());
  }
  PreTokenizer result;
  result.family_ = family;
  for (const std::string_view pattern : family->patterns) {
    int error = 0;
    PCRE2_SIZE at = 0;
    Pattern compiled;
    compiled.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr));
    if (compiled.code == nullptr) return make_error(Code::internal, "PCRE2 answers %d at %zu of the pattern of '%s'", error, at, std::string(name).c_str());
    result.patterns_.push_back(std::move(compiled));
  }
  return result;
}

Status PreTokenizer::split(std::string_view text, std::vector<size_t>& ends) const {
  Matcher matcher;
  matcher.data.reset(pcre2_match_data_create(1, nullptr));
  matcher.context.reset(pcre2_match_context_create(nullptr));
  if (matcher.data == nullptr || matcher.context == nullptr) return make_error(Code::out_of_host_memory, "no memory to match patterns");
  // The patterns are ours and backtrack at most once over a run of characters, so a long run is no reason to give up.
  pcre2_set_match_limit(matcher.context.get(), 0xffffffffu);

  // Runs of valid UTF-8, and single bytes that are in no character.
  size_t run_begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Unit unit = utf8_unit(text.substr(at));
    if (unit.kind == Utf8Unit::Kind::character) {
      at += unit.size_bytes;
      continue;
    }
    split_run(text, run_begin, at, matcher, ends);
    for (uint32_t i = 0; i < unit.size_bytes; ++i) ends.push_back(++at);
    run_begin = at;
  }
  split_run(text, run_begin, text.size(), matcher, ends);
  return {};
}

void PreTokenizer::split_run(std::string_view text, size_t begin, size_t end, Matcher& matcher, std::vector<size_t>& ends) const {
  if (begin == end) return;
  matcher.words.assign(1, end);
  for (const Pattern& pattern : patterns_) {
    matcher.next_words.clear();
    size_t word_begin = begin;
    for (const size_t word_end : matcher.words) {
      pattern.split(text, word_begin, word_end, matcher, matcher.next_words);
      word_begin = word_end;
    }
    matcher.words.swap(matcher.next_words);
  }
  ends.insert(ends.end(), matcher.words.begin(), matcher.words.end());
}

}  // namespace quire
