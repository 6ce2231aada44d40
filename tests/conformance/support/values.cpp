#include "tests/conformance/support/values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/base/half.hpp"
#include "engine/device/reference/weight_blocks.hpp"

namespace quire::conformance {
namespace {

template <class T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto* first = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), first, first + sizeof(T));
}

float random_weight(Random& random, Values values) {
  switch (values) {
    case Values::exact: return random.grid(4, 1);
    case Values::ordinary: return random.uniform(-1, 1);
    case Values::large: return random.uniform(-1e4f, 1e4f);
  }
  return 0;
}

void put_half(std::byte* at, float value) {
  const uint16_t half = float_to_half(value);
  std::memcpy(at, &half, sizeof half);
}

void append_plain(std::vector<std::byte>& bytes, WeightType type, float value) {
  if (type == WeightType::f32) return append(bytes, value);
  if (type == WeightType::f16) return append(bytes, float_to_half(value));
  append(bytes, static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
}

/// The largest magnitude in a block with the given scale and minimum, and the weight that has it.
float extreme_weight(const reference::BlockFormat& format, std::byte* block, float scale, float minimum) {
  put_half(block + *format.scale_offset, scale);
  if (format.minimum_offset) put_half(block + *format.minimum_offset, minimum);
  std::vector<float> values(format.elements);
  format.unpack(block, values.data());
  return *std::max_element(values.begin(), values.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
}

/// Random bytes with a scale, sometimes negative, and a minimum under which the weights are of the wanted magnitude; a minimum mostly centres them.
void append_block(std::vector<std::byte>& bytes, const reference::BlockFormat& format, Random& random, Values values) {
  const size_t begin = bytes.size();
  for (uint32_t i = 0; i < format.bytes; ++i) bytes.push_back(static_cast<std::byte>(random.below(256)));
  std::byte* block = bytes.data() + begin;
  const float largest = std::max(std::abs(extreme_weight(format, block, 1, 0)), 1.0f);
  const float lowest = format.minimum_offset ? extreme_weight(format, block, 0, 1) : 0;
  float scale = 1 + static_cast<float>(random.below(2));
  float minimum = random.grid(4, 1);
  if (values != Values::exact) {
    scale = (values == Values::ordinary ? random.uniform(0.2f, 1) : random.uniform(2e3f, 1e4f)) / largest;
    minimum = lowest == 0 ? 0 : scale * largest / lowest * random.uniform(-0.6f, random.below(8) == 0 ? 0.6f : -0.4f);
  }
  const float sign = random.below(4) == 0 ? -1.0f : 1.0f;
  put_half(block + *format.scale_offset, sign * scale);
  if (format.minimum_offset) put_half(block + *format.minimum_offset, sign * minimum);
}

}  // namespace

uint64_t Random::next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

float Random::uniform(float low, float high) { return low + (high - low) * (static_cast<float>(next() >> 40) * 0x1p-24f); }

float Random::grid(float range, float step) {
  const auto steps = static_cast<uint32_t>(range / step);
  return step * (static_cast<float>(below(2 * steps + 1)) - static_cast<float>(steps));
}

const char* values_name(Values values) {
  switch (values) {
    case Values::exact: return "exact";
    case Values::ordinary: return "ordinary";
    case Values::large: return "large";
  }
  return "unknown";
}

float random_value(Random& random, Values values) {
  switch (values) {
    case Values::exact: return random.grid(8, 1);
    case Values::ordinary: return random.uniform(-2, 2);
    case Values::large: return random.uniform(-1e4f, 1e4f);
  }
  return 0;
}

std::vector<float> random_values(Random& random, Values values, uint64_t count) {
  std::vector<float> result(count);
  for (float& value : result) value = random_value(random, values);
  return result;
}

std::vector<std::byte> random_weight_rows(Random& random, WeightType type, Values values, uint64_t rows, uint64_t width) {
  const reference::BlockFormat& format = reference::block_format(type);
  std::vector<std::byte> bytes;
  bytes.reserve(rows * reference::weight_row_bytes(type, width));
  for (uint64_t b = 0; b < rows * (width / format.elements); ++b) {
    if (format.scale_offset)
      append_block(bytes, format, random, values);
    else
      append_plain(bytes, type, random_weight(random, values));
  }
  return bytes;
}

}  // namespace quire::conformance
