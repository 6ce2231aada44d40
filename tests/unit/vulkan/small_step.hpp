// A little work that uses every kind of command and buffer, with an answer that the host can predict.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/device/device.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire::test {

inline constexpr std::chrono::seconds kPatience{20};

inline KernelVariant gather_kernel() { return {KernelId::gather_columns, WeightType::none, {32, 1, 1}}; }

inline constexpr uint32_t kStepWidth = 24;  ///< at most the workgroup of gather_kernel
inline constexpr std::array<uint32_t, 4> kStepSelection = {2, 0, 3, 3};
inline constexpr float kStepFill = 7.0f;

/// Columns of an activation, of which the second was overwritten by a fill, gathered by kStepSelection.
inline std::vector<float> small_step_expected() {
  std::vector<float> expected;
  for (uint32_t column : kStepSelection)
    for (uint32_t k = 0; k < kStepWidth; ++k) expected.push_back(column == 1 ? kStepFill : static_cast<float>(100 * column + k));
  return expected;
}

/// Upload (through the encoder and a mapped buffer), fill, dispatch, copy back, wait.
inline Result<std::vector<float>> small_step(Device& device) {
  constexpr uint64_t kBytes = 4 * kStepWidth * sizeof(float);
  QUIRE_ASSIGN(Buffer upload, device.create_buffer(kBytes, BufferUse::upload, "step upload"));
  QUIRE_ASSIGN(Buffer source, device.create_buffer(kBytes, BufferUse::device, "step source"));
  QUIRE_ASSIGN(Buffer selection, device.create_buffer(sizeof kStepSelection, BufferUse::device, "step selection"));
  QUIRE_ASSIGN(Buffer gathered, device.create_buffer(kBytes, BufferUse::device, "step gathered"));
  QUIRE_ASSIGN(Buffer readback, device.create_buffer(kBytes, BufferUse::readback, "step readback"));
  for (uint32_t i = 0; i < 4 * kStepWidth; ++i) {
    const float value = static_cast<float>(100 * (i / kStepWidth) + i % kStepWidth);
    std::memcpy(upload.mapped().data() + i * sizeof value, &value, sizeof value);
  }
  GatherColumnsArgs args{};
  args.width = kStepWidth;
  args.column_count = static_cast<uint32_t>(kStepSelection.size());
  uint32_t fill_word = 0;
  std::memcpy(&fill_word, &kStepFill, sizeof fill_word);
  const std::array<BufferSlice, 3> bindings = {source.slice(), selection.slice(), gathered.slice()};

  Encoder encoder = device.encoder();
  QUIRE_TRY(encoder.copy(upload.slice(), source.slice()));
  QUIRE_TRY(encoder.fill(source.slice(kStepWidth * sizeof(float), kStepWidth * sizeof(float)), fill_word));
  QUIRE_TRY(encoder.upload(selection.slice(), std::as_bytes(std::span(kStepSelection))));
  QUIRE_TRY(encoder.dispatch({gather_kernel(), std::as_bytes(std::span(&args, 1)), bindings, {}, {1, 1, args.column_count}, {}}));
  QUIRE_TRY(encoder.copy(gathered.slice(), readback.slice()));
  QUIRE_ASSIGN(const uint64_t value, device.submit(std::move(encoder)));
  QUIRE_TRY(device.wait(value, kPatience));
  std::vector<float> result(4 * kStepWidth);
  std::memcpy(result.data(), readback.mapped().data(), kBytes);
  return result;
}

}  // namespace quire::test
