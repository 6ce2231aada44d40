#include "tests/conformance/support/values.hpp"

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

/// The scale of a block whose largest code is `codes`.
float random_scale(Random& random, Values values, float codes) {
  switch (values) {
    case Values::exact: return random.below(2) ? 1.0f : 2.0f;
    case Values::ordinary: return random.uniform(0.2f, 1) / codes;
    case Values::large: return random.uniform(2e3f, 1e4f) / codes;
  }
  return 0;
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
  std::vector<std::byte> bytes;
  bytes.reserve(rows * reference::weight_row_bytes(type, width));
  const uint64_t blocks = rows * (width / block_elements(type));
  for (uint64_t b = 0; b < blocks; ++b) {
    switch (type) {
      case WeightType::f32: append(bytes, random_weight(random, values)); break;
      case WeightType::f16: append(bytes, float_to_half(random_weight(random, values))); break;
      case WeightType::q4_1: {
        reference::BlockQ41 block;
        const float scale = random_scale(random, values, 8);
        block.scale = float_to_half(scale);
        block.minimum = float_to_half(values == Values::exact ? random.grid(8, 1) : scale * random.uniform(-9, -6));
        for (uint8_t& nibbles : block.nibbles) nibbles = static_cast<uint8_t>(random.below(256));
        append(bytes, block);
        break;
      }
      case WeightType::q8_0: {
        reference::BlockQ80 block;
        block.scale = float_to_half(random_scale(random, values, 128));
        for (int8_t& code : block.codes) code = static_cast<int8_t>(static_cast<int32_t>(random.below(256)) - 128);
        append(bytes, block);
        break;
      }
      case WeightType::none: break;
    }
  }
  return bytes;
}

uint32_t block_elements(WeightType type) { return type == WeightType::q4_1 || type == WeightType::q8_0 ? 32 : 1; }

}  // namespace quire::conformance
