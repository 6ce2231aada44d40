// The table of pre-tokenizers: names of tokenizer.ggml.pre, patterns, and what else the name implies.
#include "engine/text/pre_tokenizer.hpp"

#include <algorithm>
#include <array>

namespace quire {
namespace {

// The patterns are those of the models' own tokenizer.json as llama.cpp reads them, so that a name means the same here. Where llama.cpp knows letters of
// either case only by ASCII (tekken, gpt-4o), a letter outside ASCII counts as both, here too.
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kDigits = R"(\p{N}+)";
constexpr std::string_view kThreeDigits = R"(\p{N}{1,3})";
constexpr std::string_view kThreeAsciiDigits = "[0-9][0-9][0-9]";
constexpr std::string_view kLineBreak = R"([\r\n])";
constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+|[^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// Decimal digits in threes, counted from the end of their run: what is left over comes first. The length is looked at once, where a run begins.
constexpr std::string_view kThreesFromTheEnd = R"((?<!\d)\d{1,2}(?=(?:\d{3})+(?!\d))|\d{3})";
constexpr std::string_view kSentinel = "<sentinel:[0-9]+>";
constexpr std::string_view kImageToken = "IMGIMG[A-I]{1,4}Z";
constexpr std::string_view kIndentation = R"([\t\n]|    |  )";
constexpr std::string_view kOnePunctuation = R"([\p{P}!-/:-@\[-`{-~])";
constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr std::string_view kPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr std::string_view kPunctuationAndBacktick = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr std::string_view kChineseOrHangul = R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
constexpr std::string_view kChineseOrKana = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr std::string_view kSpaceWord = R"(\s?\p{L}+)";
constexpr std::string_view kSpacePunctuation = R"(\s?\p{P}+)";
constexpr std::string_view kSpaceWidePunctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
/// \s+$, looked for only where spaces begin: a long run elsewhere would be walked from each of its places.
constexpr std::string_view kTrailingSpaces = R"((?<!\s)\s++\z)";
/// Letters of the scripts that have upper and lower case.
constexpr std::string_view kSpaceCasedWord =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώ)"
    R"(ᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏)"
    R"(𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kDefaultPatterns[] = {kPunctuation, kGpt2, kDigits, kThreeAsciiDigits};
constexpr std::string_view kGpt2Patterns[] = {kGpt2};
constexpr std::string_view kDigitPatterns[] = {kDigit, kGpt2};
constexpr std::string_view kLlama3Patterns[] = {kLlama3};
constexpr std::string_view kQwen2Patterns[] = {kQwen2};
constexpr std::string_view kQwen35Patterns[] = {kQwen35};
constexpr std::string_view kDeepseekLlmPatterns[] = {kLineBreak, kSpaceCasedWord, kSpaceWidePunctuation, kTrailingSpaces, kChineseOrHangul, kDigits};
constexpr std::string_view kDeepseekCoderPatterns[] = {kLineBreak, kSpaceWord, kSpacePunctuation, kChineseOrHangul, kDigit};
constexpr std::string_view kDeepseek3Patterns[] = {kThreeDigits, kChineseOrKana, kDeepseek3};
constexpr std::string_view kFalconPatterns[] = {kPunctuationAndBacktick, kGpt2, kThreeAsciiDigits};
constexpr std::string_view kBloomPatterns[] = {kBloom};
constexpr std::string_view kVikingPatterns[] = {kBloom, kDigit};
constexpr std::string_view kTekkenPatterns[] = {kTekken};
constexpr std::string_view kGpt4oPatterns[] = {kGpt4o};
constexpr std::string_view kBailingPatterns[] = {kBailing};
constexpr std::string_view kSeedCoderPatterns[] = {kSeedCoder};
constexpr std::string_view kSuperBpePatterns[] = {kDigits, kThreesFromTheEnd};
constexpr std::string_view kChameleonPatterns[] = {kSentinel, kImageToken, kIndentation, kDigit, kOnePunctuation, kGpt2};

constexpr std::array kFamilies = std::to_array<PreTokenizerFamily>({
    {"default", kDefaultPatterns, false, false},
    {"gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat jina-es jina-de jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert", kGpt2Patterns,
     false, false},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b", kDigitPatterns, false, false},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2", kLlama3Patterns, true, true},
    {"dbrx smaug-bpe chatglm-bpe glm4", kLlama3Patterns, false, false},
    {"qwen2 deepseek-r1-qwen stablelm2 kormo megrez hunyuan solar-open", kQwen2Patterns, false, false},
    {"qwen35", kQwen35Patterns, false, false},
    {"deepseek-llm", kDeepseekLlmPatterns, false, false},
    {"deepseek-coder", kDeepseekCoderPatterns, false, false},
    {"deepseek-v3 hunyuan-dense", kDeepseek3Patterns, false, false},
    {"falcon", kFalconPatterns, false, false},
    {"bloom gpt3-finnish poro-chat", kBloomPatterns, false, false},
    {"viking", kVikingPatterns, false, false},
    {"tekken", kTekkenPatterns, true, true},
    {"gpt-4o llama4 minimax-m2 kanana2", kGpt4oPatterns, false, false},
    {"bailingmoe bailingmoe2 llada-moe", kBailingPatterns, false, false},
    {"seed-coder", kSeedCoderPatterns, false, false},
    {"superbpe", kSuperBpePatterns, false, false},
    {"chameleon", kChameleonPatterns, false, true},
});

/// Whether `name` is one of the words of `names`.
bool is_listed(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const size_t end = std::min(names.find(' '), names.size());
    if (names.substr(0, end) == name) return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

}  // namespace

std::span<const PreTokenizerFamily> pre_tokenizer_families() { return kFamilies; }

const PreTokenizerFamily* find_pre_tokenizer_family(std::string_view name) {
  const auto family = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const PreTokenizerFamily& f) { return is_listed(f.names, name); });
  return family != kFamilies.end() ? &*family : nullptr;
}

}  // namespace quire
