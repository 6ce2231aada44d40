#include "engine/forward/variant_tuning.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include "engine/forward/kernels.hpp"
#include "engine/forward/weight_layout.hpp"

namespace quire {
namespace {

using Clock = std::chrono::steady_clock;

constexpr TunedField kFields[] = {
    {"lanes_per_load", &VariantSet::lanes_per_load},
    {"many_tiles_per_lane", &VariantSet::many_tiles_per_lane},
    {"few_tiles_per_lane", &VariantSet::few_tiles_per_lane},
    {"few_max_columns", &VariantSet::few_max_columns},
    {"prompt_chunk", &VariantSet::prompt_chunk},
};
constexpr size_t kFieldCount = std::size(kFields);

/// No measurement begins after this: what is left of three seconds is for one that is under way, and the kernels it compiles.
constexpr std::chrono::milliseconds kLimit{2200};
constexpr std::chrono::seconds kTimeout{30};
constexpr double kLeastGain = 1.05;             ///< below it a difference is noise
constexpr uint32_t kRounds = 4;                 ///< of each candidate, in turn; the best counts
constexpr double kLeastRoundS = 1e-3;           ///< a round repeats its work until it takes this long, so that handing it over counts little
constexpr uint32_t kMostRepeats = 64;

constexpr uint32_t kMostTunedChunk = 512;

// A made-up layer's matrices: of a quantized type of 32 weights a block and of one of 256.
constexpr std::array<WeightType, 2> kTypes = {WeightType::q4_1, WeightType::q6_k};
struct MadeUpSize {
  uint32_t width, hidden;
};
constexpr MadeUpSize kSmall{512, 1024}, kLarge{2048, 4096};  ///< for a processor, and for what has more lanes to fill
constexpr uint32_t kPromptColumns = 64;
constexpr uint32_t kSessions = 8;
constexpr uint32_t kFillWord = 0x2c662c66u;     ///< as f16 twice 0.069, as f32 3e-12: nothing that a processor computes slowly with

class TuningRig {
 public:
  static Result<TuningRig> create(Device& device, const VariantSet& defaults);

  /// Seconds of the work that `field` speeds up, with these variants.
  Result<double> time_once(size_t field, const VariantSet& variants);

 private:
  Status record(size_t field, Recorder r) const;
  Status record_layer(Recorder r, uint32_t columns, uint32_t column_tile) const;
  Activation activation(const Buffer& buffer, uint32_t width, uint32_t columns, uint32_t column_tile) const {
    return {buffer.slice(), width, columns, column_tile};
  }

  Device* device_ = nullptr;
  MadeUpSize size_{};
  Buffer narrow_, normed_, wide_, norm_;
  std::array<Buffer, kTypes.size()> weights_;
  std::array<uint32_t, kFieldCount> repeats_{};  ///< 0: not known yet
};

Result<TuningRig> TuningRig::create(Device& device, const VariantSet& defaults) {
  TuningRig rig;
  rig.device_ = &device;
  rig.size_ = device.info().type == DeviceType::cpu ? kSmall : kLarge;
  const auto make = [&](uint64_t bytes, Buffer& buffer, Encoder& encoder) -> Status {
    QUIRE_ASSIGN(buffer, device.create_buffer(bytes, BufferUse::device, "tuning"));
    return encoder.fill(buffer.slice(), kFillWord);
  };
  Encoder encoder = device.encoder();
  QUIRE_TRY(make(Activation::bytes(rig.size_.width, kMostTunedChunk), rig.narrow_, encoder));
  QUIRE_TRY(make(Activation::bytes(rig.size_.width, kMostTunedChunk), rig.normed_, encoder));
  QUIRE_TRY(make(Activation::bytes(rig.size_.hidden, kMostTunedChunk), rig.wide_, encoder));
  QUIRE_TRY(make(uint64_t{4} * rig.size_.width, rig.norm_, encoder));
  for (size_t i = 0; i < kTypes.size(); ++i)
    QUIRE_TRY(make(packed_bytes(defaults.weight_layout, defaults.tile_rows, kTypes[i], rig.size_.hidden, rig.size_.width), rig.weights_[i], encoder));
  QUIRE_ASSIGN(const uint64_t done, device.submit(std::move(encoder)));
  QUIRE_TRY(device.wait(done, kTimeout));
  return rig;
}

Status TuningRig::record_layer(Recorder r, uint32_t columns, uint32_t column_tile) const {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    const WeightMatrix up{size_.hidden, size_.width, {{kTypes[i], weights_[i].slice(), 0, size_.hidden}}};
    QUIRE_TRY(record_matmul(r, up, activation(normed_, size_.width, columns, column_tile), activation(wide_, size_.hidden, columns, column_tile)));
  }
  return {};
}

Status TuningRig::record(size_t field, Recorder r) const {
  const uint32_t tile = r.variants.many_column_tile;
  const auto value = kFields[field].value;
  if (value == &VariantSet::lanes_per_load) return record_layer(r, 1, 1);
  if (value == &VariantSet::many_tiles_per_lane) return record_layer(r, kPromptColumns, tile);
  if (value == &VariantSet::few_tiles_per_lane) return record_layer(r, 1, 1);
  if (value == &VariantSet::few_max_columns) return record_layer(r, kSessions, 1);
  const uint32_t columns = r.variants.prompt_chunk;
  for (uint32_t done = 0; done < kMostTunedChunk; done += columns) {
    QUIRE_TRY(record_rms_norm(r, activation(narrow_, size_.width, columns, tile), norm_.slice(), 1e-6F, activation(normed_, size_.width, columns, tile)));
    QUIRE_TRY(record_layer(r, columns, tile));
  }
  return {};
}

Result<double> TuningRig::time_once(size_t field, const VariantSet& variants) {
  const auto run = [&](uint32_t repeats) -> Result<double> {
    Encoder encoder = device_->encoder();
    for (uint32_t i = 0; i < repeats; ++i) QUIRE_TRY(record(field, {encoder, variants}));
    const Clock::time_point start = Clock::now();
    QUIRE_ASSIGN(const uint64_t done, device_->submit(std::move(encoder)));
    QUIRE_TRY(device_->wait(done, kTimeout));
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  if (repeats_[field] == 0) {
    // The first run compiles, the second says how often the work fits a round.
    QUIRE_ASSIGN([[maybe_unused]] const double compiling, run(1));
    QUIRE_ASSIGN(const double once, run(1));
    repeats_[field] = std::clamp(static_cast<uint32_t>(kLeastRoundS / std::max(once, 1e-7)), 1U, kMostRepeats);
  }
  return run(repeats_[field]);
}

}  // namespace

std::span<const TunedField> tuned_fields() { return kFields; }

std::vector<uint32_t> tuning_candidates(const TunedField& field, const VariantSet& defaults, const Limits& limits) {
  const uint32_t usual = defaults.*field.value;
  const bool on_cpu = computes_on_cpu(limits);  // fewer rows or columns at once never paid there
  std::vector<uint32_t> candidates = {usual};
  const auto add = [&](uint32_t value, bool fits) {
    if (fits && value >= 1 && value != usual) candidates.push_back(value);
  };
  // Partial sums of matmul_few, of every row and column that an invocation has.
  const auto parts_fit = [&](uint32_t tiles, uint32_t columns) {
    return defaults.few_k_parts == 1 || 4 * defaults.lanes * defaults.few_k_parts * tiles * columns <= limits.max_shared_bytes;
  };
  if (field.value == &VariantSet::lanes_per_load) {
    add(defaults.lanes, limits.host_visible_device_memory && limits.subgroup_broadcast && limits.subgroup_size == defaults.lanes);
  } else if (field.value == &VariantSet::many_tiles_per_lane) {
    add(2 * usual, usual <= 4);
    add(usual / 2, usual <= 4);
  } else if (field.value == &VariantSet::few_tiles_per_lane) {
    add(2 * usual, usual <= 4 && parts_fit(2 * usual, defaults.few_max_columns));
    add(usual / 2, !on_cpu);
  } else if (field.value == &VariantSet::few_max_columns) {
    add(usual / 2, !on_cpu);
  } else {
    for (const uint32_t chunk : {128U, kMostTunedChunk}) add(chunk, true);
  }
  return candidates;
}

Result<TunedVariants> tune_variants(Device& device, const VariantSet& defaults, const TuningProgress& progress) {
  TunedVariants result{.variants = defaults};
  VariantSet& tuned = result.variants;
  if (defaults.weight_layout != WeightLayout::lane_tiles) return result;  // plain loops, whatever the variants
  const Clock::time_point start = Clock::now();
  uint64_t done = 0, total = 0;
  for (const TunedField& field : kFields) {
    const size_t candidates = tuning_candidates(field, defaults, device.limits()).size();
    if (candidates > 1) total += candidates * kRounds;
  }
  QUIRE_ASSIGN(TuningRig rig, TuningRig::create(device, defaults));
  for (size_t f = 0; f < kFieldCount; ++f) {
    const std::vector<uint32_t> candidates = tuning_candidates(kFields[f], defaults, device.limits());
    if (candidates.size() == 1) continue;
    std::vector<double> best(candidates.size(), std::numeric_limits<double>::max());
    bool complete = true;
    // The first round of a candidate compiles its kernels and is not counted.
    for (uint32_t round = 0; round <= kRounds && complete; ++round)
      for (size_t c = 0; c < candidates.size() && complete; ++c) {
        complete = Clock::now() - start < kLimit;
        if (!complete) break;
        VariantSet variants = tuned;
        variants.*kFields[f].value = candidates[c];
        QUIRE_ASSIGN(const double seconds, rig.time_once(f, variants));
        if (round == 0) continue;
        best[c] = std::min(best[c], seconds);
        if (progress && !progress(++done, total)) return make_error(Code::cancelled, "stopped by the caller");
      }
    const auto fastest = static_cast<size_t>(std::min_element(best.begin(), best.end()) - best.begin());
    result.finished = result.finished && complete;
    if (complete && best[0] > kLeastGain * best[fastest]) tuned.*kFields[f].value = candidates[fastest];
  }
  return result;
}

}  // namespace quire
