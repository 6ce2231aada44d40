// Arithmetic on sizes from outside, and errors as values.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "engine/base/checked.hpp"
#include "engine/base/result.hpp"

using namespace quire;

namespace {

constexpr uint64_t kMost = ~uint64_t{0};

Result<int> half(int value) {
  if (value % 2 != 0) return make_error(Code::invalid_argument, "%d is odd", value);
  return value / 2;
}

Result<int> quarter(int value) {
  QUIRE_ASSIGN(const int once, half(value));
  QUIRE_ASSIGN(const int twice, half(once));
  return twice;
}

}  // namespace

TEST_CASE("checked: sums, products and alignments answer nothing exactly when they overflow") {
  CHECK(checked_add(kMost - 1, uint64_t{1}) == kMost);
  CHECK_FALSE(checked_add(kMost, uint64_t{1}));
  CHECK(checked_mul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1) == kMost - 0xffffffffu);
  CHECK_FALSE(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32));
  CHECK(checked_align_up(uint64_t{33}, uint64_t{32}) == 64);
  CHECK(checked_align_up(uint64_t{64}, uint64_t{32}) == 64);
  CHECK(checked_align_up(kMost - 31, uint64_t{32}) == kMost - 31);
  CHECK_FALSE(checked_align_up(kMost - 30, uint64_t{32}));
  CHECK(ceil_div(uint32_t{0xffffffff}, uint32_t{2}) == 0x80000000u);
}

TEST_CASE("result: QUIRE_ASSIGN hands on the first error and its sentence") {
  CHECK(*quarter(12) == 3);
  CHECK(quarter(7).error().message == "7 is odd");
  CHECK(quarter(6).error().message == "3 is odd");
  CHECK(quarter(6).code() == Code::invalid_argument);
}

TEST_CASE("result: holds a value that can only be moved") {
  Result<std::unique_ptr<std::string>> result = std::make_unique<std::string>("kept");
  REQUIRE(result.ok());
  const std::unique_ptr<std::string> taken = std::move(result).value();
  CHECK(*taken == "kept");
}
