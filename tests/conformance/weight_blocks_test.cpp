// The reference's unpacking of every block format, against an independent implementation.
#include <bit>
#include <doctest/doctest.h>
#include <set>
#include <string>

#include "engine/device/reference/weight_blocks.hpp"
#include "tests/conformance/support/values.hpp"

namespace quire::conformance {
namespace {

struct Expected {
  WeightType type;
  uint32_t first[2];  ///< bits of the first two values: they tell what is wrong where the hash only tells that something is
  uint64_t hash;      ///< FNV-1a over the bytes of all values
};

// From weight_blocks_expected.py, which unpacks the same blocks with the Python package gguf.
constexpr Expected kExpected[] = {
    {WeightType::f32, {0xac4ff4af, 0x3ce1ea9b}, 0x880e3e26975023c0},
    {WeightType::f16, {0x3cf82000, 0x396bc000}, 0x648e56de73676b72},
    {WeightType::q4_0, {0x399d1000, 0xb9338000}, 0x1976d6457c6115e9},
    {WeightType::q4_1, {0xbac64000, 0xbaddf400}, 0x8b52383ff77ec392},
    {WeightType::q5_0, {0x3cf00000, 0x80000000}, 0x8b90d75dfa2f8ead},
    {WeightType::q5_1, {0x3b93de00, 0x3df18de0}, 0x3a203187506ab515},
    {WeightType::q8_0, {0x379b0000, 0xbab81000}, 0x57335a08962230b5},
    {WeightType::q2_k, {0xc0b95800, 0xc280b680}, 0xea9a69c718f4847c},
    {WeightType::q3_k, {0xc0b05800, 0x80000000}, 0x0d9b8bb22c44a63d},
    {WeightType::q4_k, {0x3f0df1d8, 0x3ef39270}, 0x0e25687b50436118},
    {WeightType::q5_k, {0x42b724e0, 0x4282ada0}, 0x124a9feda79e1349},
    {WeightType::q6_k, {0xc05db940, 0xc01e5fc0}, 0x6c79ed8155180a30},
    {WeightType::iq4_nl, {0x3a5de000, 0xbb92fe00}, 0x721e04b5285efef1},
    {WeightType::iq4_xs, {0xc3872b80, 0x43092100}, 0xb3a85aa594ef23f4},
    {WeightType::bf16, {0x1cce0000, 0x93780000}, 0x8f436bac15152ce2},
};
constexpr uint32_t kBlocks = 64;

/// Random bytes, with the top exponent bit of each f16 and of each plain weight cleared: no value is infinite or no number.
std::vector<std::byte> random_blocks(const reference::BlockFormat& format) {
  Random random(static_cast<uint64_t>(format.type));
  std::vector<std::byte> bytes(size_t{kBlocks} * format.bytes);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  for (size_t begin = 0; begin < bytes.size(); begin += format.bytes) {
    bytes[begin + format.scale_offset.value_or(format.bytes - 2) + 1] &= std::byte{0xbf};
    if (format.minimum_offset) bytes[begin + *format.minimum_offset + 1] &= std::byte{0xbf};
  }
  return bytes;
}

TEST_CASE("weight blocks: every type unpacks to the bits that an independent implementation gives") {
  std::set<WeightType> seen;
  for (const Expected& expected : kExpected) {
    CAPTURE(std::string(weight_type_name(expected.type)));
    const reference::BlockFormat& format = reference::block_format(expected.type);
    REQUIRE(format.type == expected.type);
    const auto bytes = random_blocks(format);
    std::vector<float> values(size_t{kBlocks} * format.elements);
    reference::unpack_weight_row(expected.type, bytes.data(), values);
    CHECK(std::bit_cast<uint32_t>(values[0]) == expected.first[0]);
    CHECK(std::bit_cast<uint32_t>(values[1]) == expected.first[1]);
    uint64_t hash = 0xcbf29ce484222325u;
    for (const float value : values)
      for (uint32_t shift = 0; shift < 32; shift += 8) hash = (hash ^ (std::bit_cast<uint32_t>(value) >> shift & 255)) * 0x100000001b3u;
    CHECK(hash == expected.hash);
    seen.insert(expected.type);
  }
  CHECK(seen.size() == weight_types().size());
}

TEST_CASE("weight blocks: the reference and the manifest agree on every type's block, and no type is missing") {
  for (const WeightTypeInfo& info : weight_types()) {
    CAPTURE(std::string(info.name));
    const reference::BlockFormat& format = reference::block_format(info.type);
    CHECK(format.type == info.type);
    CHECK(format.elements == info.file_block_elements);
    CHECK(format.bytes == info.file_block_bytes());
  }
}

}  // namespace
}  // namespace quire::conformance
