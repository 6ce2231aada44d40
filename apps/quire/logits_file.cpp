#include "logits_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace quire_app {
namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 8> kMagic = {'Q', 'U', 'I', 'R', 'E', 'L', 'O', 'G'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kHeadBytes = 40;
constexpr uint64_t kChecksumBytes = 8;
/// Bounds that no real file reaches; their product times four fits 64 bits.
constexpr uint32_t kMostVocabulary = uint32_t{1} << 24;
constexpr uint64_t kMostTokens = uint64_t{1} << 32;

using Word = std::array<unsigned char, 4>;

Word to_bytes(uint32_t word) {
  return {static_cast<unsigned char>(word), static_cast<unsigned char>(word >> 8), static_cast<unsigned char>(word >> 16), static_cast<unsigned char>(word >> 24)};
}
uint32_t from_bytes(const Word& bytes) {
  return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

std::array<uint32_t, 10> head_words(const LogitsHeader& header) {
  const auto magic_word = [](size_t at) {
    Word bytes{};
    std::memcpy(bytes.data(), kMagic.data() + at, bytes.size());
    return from_bytes(bytes);
  };
  return {magic_word(0), magic_word(4), kVersion, header.vocabulary, header.context, header.chunks, header.first, header.first_id,
          static_cast<uint32_t>(header.fingerprint), static_cast<uint32_t>(header.fingerprint >> 32)};
}

}  // namespace

uint64_t LogitsHeader::file_bytes() const {
  const uint64_t chunk_bytes = uint64_t{rows_per_chunk()} * vocabulary * 4 + kChecksumBytes;
  return kHeadBytes + uint64_t{chunks} * context * 4 + kChecksumBytes + chunks * chunk_bytes;
}

Outcome file_fingerprint(const std::string& path, uint64_t& fingerprint) {
  const FileHandle file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) return failure(kExitModel, "cannot read " + path + ": " + std::strerror(errno));
  Checksum checksum;
  std::vector<Word> block(size_t{1} << 18);
  while (true) {
    std::fill(block.begin(), block.end(), Word{});
    const size_t bytes = std::fread(block.data(), 1, block.size() * sizeof(Word), file.get());
    for (size_t i = 0; i < (bytes + sizeof(Word) - 1) / sizeof(Word); ++i) checksum.add(from_bytes(block[i]));
    if (bytes < block.size() * sizeof(Word)) break;
  }
  if (std::ferror(file.get()) != 0) return failure(kExitModel, "cannot read " + path + ": " + std::strerror(errno));
  fingerprint = checksum.value();
  return {};
}

LogitsWriter::~LogitsWriter() {
  if (file_ == nullptr) return;
  file_.reset();
  std::error_code ignored;
  fs::remove(partial_path_, ignored);
}

Outcome LogitsWriter::open(const std::string& path, const LogitsHeader& header) {
  path_ = path;
  partial_path_ = path + ".partial";
  file_.reset(std::fopen(partial_path_.c_str(), "wb"));
  if (file_ == nullptr) return write_failure();
  const auto head = head_words(header);
  QUIRE_APP_TRY(write_words(head));
  QUIRE_APP_TRY(write_words(header.ids));
  return write_checksum();
}

Outcome LogitsWriter::add_rows(std::span<const float> logits) {
  words_.resize(logits.size());
  std::transform(logits.begin(), logits.end(), words_.begin(), [](float logit) { return std::bit_cast<uint32_t>(logit); });
  return write_words(words_);
}

Outcome LogitsWriter::end_chunk() { return write_checksum(); }

Outcome LogitsWriter::finish() {
  const bool written = std::fclose(file_.release()) == 0;
  std::error_code error;
  if (written) fs::rename(partial_path_, path_, error);
  if (written && !error) return {};
  const std::string why = error ? error.message() : std::strerror(errno);
  std::error_code ignored;
  fs::remove(partial_path_, ignored);
  return failure(kExitRuntime, "cannot write " + path_ + ": " + why);
}

Outcome LogitsWriter::write_words(std::span<const uint32_t> words) {
  constexpr size_t kBlock = 4096;
  std::array<Word, kBlock> bytes;
  for (size_t begin = 0; begin < words.size(); begin += kBlock) {
    const auto block = words.subspan(begin, std::min(kBlock, words.size() - begin));
    for (size_t i = 0; i < block.size(); ++i) {
      bytes[i] = to_bytes(block[i]);
      checksum_.add(block[i]);
    }
    if (std::fwrite(bytes.data(), sizeof(Word), block.size(), file_.get()) != block.size()) return write_failure();
  }
  return {};
}

Outcome LogitsWriter::write_checksum() {
  const uint64_t value = checksum_.value();
  const std::array<uint32_t, 2> words = {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
  QUIRE_APP_TRY(write_words(words));
  checksum_ = {};
  return {};
}

Outcome LogitsWriter::write_failure() const { return failure(kExitRuntime, "cannot write " + partial_path_ + ": " + std::strerror(errno)); }

Outcome LogitsReader::refuse(const std::string& why) const { return failure(kExitRuntime, path_ + " " + why); }

Outcome LogitsReader::open(const std::string& path) {
  path_ = path;
  std::error_code error;
  const uint64_t size_bytes = fs::file_size(path, error);
  if (error) return failure(kExitRuntime, "cannot read " + path + ": " + error.message());
  file_.reset(std::fopen(path.c_str(), "rb"));
  if (file_ == nullptr) return failure(kExitRuntime, "cannot read " + path + ": " + std::strerror(errno));

  std::array<uint32_t, 10> head{};
  const auto expected = head_words({});
  if (size_bytes < kHeadBytes + kChecksumBytes) return refuse("is no logits file of `quire eval`: it has " + std::to_string(size_bytes) + " bytes");
  QUIRE_APP_TRY(read_words(head));
  if (head[0] != expected[0] || head[1] != expected[1]) return refuse("is no logits file of `quire eval`");
  if (head[2] != kVersion) return refuse("has version " + std::to_string(head[2]) + " of the format; this program reads version " + std::to_string(kVersion));
  header_.vocabulary = head[3];
  header_.context = head[4];
  header_.chunks = head[5];
  header_.first = head[6];
  header_.first_id = head[7];
  header_.fingerprint = head[8] | uint64_t{head[9]} << 32;
  if (header_.vocabulary == 0 || header_.vocabulary > kMostVocabulary || header_.chunks == 0 || uint64_t{header_.chunks} * header_.context > kMostTokens ||
      header_.context < 3 || header_.first > header_.context - 2)
    return refuse("is damaged: its header has impossible numbers");
  if (size_bytes != header_.file_bytes())
    return refuse("is damaged: it has " + std::to_string(size_bytes) + " bytes; its header promises " + std::to_string(header_.file_bytes()));
  header_.ids.resize(size_t{header_.chunks} * header_.context);
  QUIRE_APP_TRY(read_words(header_.ids));
  return read_checksum("header");
}

Outcome LogitsReader::check_same_question(const LogitsHeader& other) const {
  const auto differ = [](uint64_t a, uint64_t b) { return std::to_string(a) + ", not " + std::to_string(b); };
  if (header_.vocabulary != other.vocabulary) return refuse("is of another model: its vocabulary is " + differ(header_.vocabulary, other.vocabulary));
  if (header_.fingerprint != other.fingerprint) return refuse("is of another model file, or of another version of it");
  if (header_.context != other.context || header_.first != other.first) return refuse("was made with a context of " + differ(header_.context, other.context));
  if (header_.chunks != other.chunks) return refuse("was made of another text: its number of chunks is " + differ(header_.chunks, other.chunks));
  if (header_.first_id != other.first_id || header_.ids != other.ids) return refuse("was made of another text");
  return {};
}

Outcome LogitsReader::read_row(std::span<float> logits) {
  words_.resize(logits.size());
  QUIRE_APP_TRY(read_words(words_));
  std::transform(words_.begin(), words_.end(), logits.begin(), [](uint32_t word) { return std::bit_cast<float>(word); });
  return {};
}

Outcome LogitsReader::end_chunk() { return read_checksum("logits"); }

Outcome LogitsReader::read_words(std::span<uint32_t> words) {
  constexpr size_t kBlock = 4096;
  std::array<Word, kBlock> bytes;
  for (size_t begin = 0; begin < words.size(); begin += kBlock) {
    const auto block = words.subspan(begin, std::min(kBlock, words.size() - begin));
    if (std::fread(bytes.data(), sizeof(Word), block.size(), file_.get()) != block.size()) return refuse("ends too early");
    for (size_t i = 0; i < block.size(); ++i) {
      block[i] = from_bytes(bytes[i]);
      checksum_.add(block[i]);
    }
  }
  return {};
}

Outcome LogitsReader::read_checksum(const char* of) {
  const uint64_t expected = checksum_.value();
  std::array<uint32_t, 2> words{};
  QUIRE_APP_TRY(read_words(words));
  checksum_ = {};
  if ((words[0] | uint64_t{words[1]} << 32) == expected) return {};
  return refuse(std::string("is damaged: the checksum of its ") + of + " is wrong");
}

}  // namespace quire_app
