// The same harness for libFuzzer.
#include "tests/fuzz/harness.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  quire::testing::fuzz_one({data, size});
  return 0;
}
