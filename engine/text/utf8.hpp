// UTF-8 (RFC 3629): which bytes form a character, and repair of a stream of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quire {

/// What stands at the beginning of some bytes.
struct Utf8Unit {
  enum class Kind : uint8_t { character, incomplete, invalid };
  Kind kind;
  /// character: its bytes. incomplete: all that is left, which more bytes could complete. invalid: bytes that one U+FFFD replaces.
  uint32_t size_bytes;
  char32_t code_point;  ///< of a character
};

/// Requires: !text.empty().
Utf8Unit utf8_unit(std::string_view text);
void append_utf8(std::string& text, char32_t code_point);

/// Bytes in, valid UTF-8 out; what can never become a character is replaced by U+FFFD as soon as that is certain.
class Utf8Repair {
 public:
  std::string push(std::string_view bytes);
  std::string finish();

 private:
  std::string pending_;  ///< the beginning of a character: at most 3 bytes
};

}  // namespace quire
