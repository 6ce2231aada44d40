#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/harness.hpp"

void quire::testing::fuzz_failure(const char* promise) {
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}
