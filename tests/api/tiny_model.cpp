// The tiny random model as bytes, for tests in C.
#include <new>
#include <vector>

#include "tests/support/tiny_llama.hpp"

extern "C" const unsigned char* make_tiny_model(size_t* size_bytes);
extern "C" const unsigned char* make_windowed_model(size_t* size_bytes);

const unsigned char* make_tiny_model(size_t* size_bytes) {
  static const std::vector<std::byte> bytes = quire::testing::make_tiny_llama({}).finish();
  *size_bytes = bytes.size();
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

const unsigned char* make_windowed_model(size_t* size_bytes) {
  static const std::vector<std::byte> bytes = [] {
    quire::testing::GgufWriter writer = quire::testing::make_tiny_llama({.layers = 3});
    writer.add_u32("llama.attention.sliding_window", 70);
    writer.add_u32("llama.attention.sliding_window_pattern", 3);
    return writer.finish();
  }();
  *size_bytes = bytes.size();
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
