// The file that `quire eval --logits` writes and `--compare` reads: what a model answered after every scored token of a text.
//
// Little-endian, in this order:
//   offset  bytes
//        0  8                      "QUIRELOG"
//        8  4                      version: 1
//       12  4                      vocabulary
//       16  4                      context: tokens of a chunk
//       20  4                      chunks
//       24  4                      first: rows are kept of positions first .. context - 2 of each chunk
//       28  4                      id that replaced the first of each chunk, or 0xffffffff
//       32  8                      fingerprint of the model file: a checksum of its bytes
//       40  4 x chunks x context   ids of the text, before that replacement
//           8                      checksum of all bytes so far
//   then each chunk:
//           4 x rows x vocabulary  float32 logits
//           8                      checksum of these rows
//
// Logits are kept as they were computed: equal files mean equal bits, and a KL divergence is as exact as its arithmetic.
// A checksum is 64-bit FNV-1a over 32-bit words; it finds damage, it does not resist forgery.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "outcome.hpp"

namespace quire_app {

/// What the rows are answers to. Two files with equal headers can be compared row by row.
struct LogitsHeader {
  uint32_t vocabulary = 0;
  uint32_t context = 0;
  uint32_t chunks = 0;
  uint32_t first = 0;
  uint32_t first_id = UINT32_MAX;
  uint64_t fingerprint = 0;
  std::vector<uint32_t> ids;    ///< chunks x context

  uint32_t rows_per_chunk() const { return context - 1 - first; }
  uint64_t file_bytes() const;
};

/// Of all bytes of a file. On error: kExitModel.
Outcome file_fingerprint(const std::string& path, uint64_t& fingerprint);

class Checksum {
 public:
  void add(uint32_t word) { value_ = (value_ ^ word) * 0x100000001b3u; }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

struct CloseFile {
  void operator()(FILE* file) const { std::fclose(file); }
};
using FileHandle = std::unique_ptr<FILE, CloseFile>;

/// Writes beside the final name, which the file gets when it is complete.
class LogitsWriter {
 public:
  LogitsWriter() = default;
  LogitsWriter(const LogitsWriter&) = delete;
  LogitsWriter& operator=(const LogitsWriter&) = delete;
  ~LogitsWriter();

  Outcome open(const std::string& path, const LogitsHeader& header);
  bool is_open() const { return file_ != nullptr; }
  Outcome add_rows(std::span<const float> logits);
  Outcome end_chunk();
  /// Gives the file its name.
  Outcome finish();

 private:
  Outcome write_words(std::span<const uint32_t> words);
  Outcome write_checksum();
  Outcome write_failure() const;

  std::string path_, partial_path_;
  FileHandle file_;
  Checksum checksum_;
  std::vector<uint32_t> words_;
};

/// Reads a file whose size and header are checked first; every chunk's rows are checked when it ends.
class LogitsReader {
 public:
  /// On error: kExitRuntime (missing, foreign, of another version, truncated, damaged).
  Outcome open(const std::string& path);
  bool is_open() const { return file_ != nullptr; }
  const LogitsHeader& header() const { return header_; }
  /// One sentence when `other` asks something else than this file answers: another model, vocabulary, context or text.
  Outcome check_same_question(const LogitsHeader& other) const;
  Outcome read_row(std::span<float> logits);
  Outcome end_chunk();

 private:
  Outcome read_words(std::span<uint32_t> words);
  Outcome read_checksum(const char* of);
  Outcome refuse(const std::string& why) const;

  std::string path_;
  FileHandle file_;
  LogitsHeader header_;
  Checksum checksum_;
  std::vector<uint32_t> words_;
};

}  // namespace quire_app
