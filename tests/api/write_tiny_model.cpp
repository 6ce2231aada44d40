// write_tiny_model FILE: the tiny random model as a file, for tests of the program.
#include <cstdio>
#include <vector>

#include "tests/support/tiny_llama.hpp"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::vector<std::byte> bytes = quire::testing::make_tiny_llama({}).finish();
  FILE* file = std::fopen(argv[1], "wb");
  if (file == nullptr) return 1;
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  return std::fclose(file) == 0 && written ? 0 : 1;
}
