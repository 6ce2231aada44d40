// The tokenizer of the tiny models, without the rest of a model file.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "engine/text/tokenizer.hpp"
#include "tests/support/tiny_llama.hpp"

namespace quire::testing {

inline Tokenizer make_tokenizer(const GgufWriter& writer) {
  const std::vector<std::byte> bytes = writer.finish();
  const MemorySource source(bytes);
  const auto file = GgufFile::read(source);
  REQUIRE_MESSAGE(file.ok(), file.error().message);
  auto tokenizer = Tokenizer::create(*file);
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.error().message);
  return std::move(tokenizer).value();
}

inline Tokenizer make_tiny_tokenizer() {
  GgufWriter writer;
  add_byte_vocabulary(writer, 264);
  return make_tokenizer(writer);
}

}  // namespace quire::testing
