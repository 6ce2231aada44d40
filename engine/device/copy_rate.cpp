#include "engine/device/copy_rate.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace quire {
namespace {

// Enough of them that handing a submission over costs little beside it.
constexpr uint32_t kCopiesPerRound = 4;
// The first round touches the memory for the first time.
constexpr uint32_t kRounds = 4;
constexpr std::chrono::seconds kRoundTimeout{60};

}  // namespace

Result<double> measure_copy_rate(Device& device, uint64_t size_bytes) {
  if (size_bytes % 4 != 0)
    return make_error(Code::invalid_argument, "copies of %llu bytes cannot be measured: not a multiple of 4", static_cast<unsigned long long>(size_bytes));
  QUIRE_ASSIGN(Buffer source, device.create_buffer(size_bytes, BufferUse::device, "copy source"));
  QUIRE_ASSIGN(Buffer destination, device.create_buffer(size_bytes, BufferUse::device, "copy destination"));
  double best_s = 0;
  for (uint32_t round = 0; round < kRounds; ++round) {
    Encoder encoder = device.encoder();
    if (round == 0) QUIRE_TRY(encoder.fill(source.slice(), 0x3f800000u));
    for (uint32_t i = 0; i < kCopiesPerRound; ++i) QUIRE_TRY(encoder.copy(source.slice(), destination.slice()));
    const auto start = std::chrono::steady_clock::now();
    QUIRE_ASSIGN(const uint64_t done, device.submit(std::move(encoder)));
    QUIRE_TRY(device.wait(done, kRoundTimeout));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (round == 1 || (round > 1 && seconds < best_s)) best_s = seconds;
  }
  return 2.0 * kCopiesPerRound * static_cast<double>(size_bytes) / std::max(best_s, 1e-9);
}

}  // namespace quire
