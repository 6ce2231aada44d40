// Wrong shapes are errors that name the value, and nothing is recorded.
#include <doctest/doctest.h>

#include "engine/forward/kernels.hpp"
#include "engine/forward/weight_layout.hpp"

using namespace quire;

namespace {

/// A null device with one buffer that everything lies in.
struct NullRecording {
  Device device = open();
  VariantSet variants = choose_variants(device.limits());
  Buffer buffer = std::move(device.create_buffer(1 << 20, BufferUse::device, "everything")).value();
  Encoder encoder = device.encoder();
  Recorder recorder{encoder, variants};

  static Device open() {
    DeviceOptions options;
    options.backend = BackendKind::null_device;
    return std::move(Device::open(options)).value();
  }
  Activation activation(uint32_t width, uint32_t columns, uint32_t tile = 1) const { return {buffer.slice(0, 1 << 18), width, columns, tile}; }
};

constexpr PageShape kPage{2, 3, 64, 64, 16};

}  // namespace

TEST_CASE("kernels: a matrix whose width is not its source's is refused, and nothing is recorded") {
  NullRecording r;
  const WeightMatrix weights{16, 64, {{WeightType::q4_1, r.buffer.slice(), 0, 16}}};
  CHECK(record_matmul(r.recorder, weights, r.activation(96, 1), r.activation(16, 1)).code() == Code::invalid_argument);
  CHECK(record_matmul(r.recorder, weights, r.activation(64, 1), r.activation(15, 1)).code() == Code::invalid_argument);
  CHECK(record_matmul(r.recorder, weights, r.activation(64, 1), r.activation(16, 2)).code() == Code::invalid_argument);
  CHECK(r.encoder.commands().empty());
  CHECK(record_matmul(r.recorder, weights, r.activation(64, 1), r.activation(16, 1)).ok());
  CHECK(r.encoder.commands().size() == 1);
}

TEST_CASE("kernels: gate and up of one type and whole tiles are one dispatch, others two, and wrong shapes none") {
  NullRecording r;
  const uint32_t lanes = r.variants.lanes;
  const auto commands = [&](const std::vector<WeightType>& types, uint32_t rows, uint32_t width, uint32_t dst_rows) {
    WeightMatrix weights{2 * rows, width, {}};
    const auto part_rows = static_cast<uint32_t>(2 * rows / types.size());
    for (const WeightType type : types) weights.parts.push_back({type, r.buffer.slice(), static_cast<uint32_t>(weights.parts.size()) * part_rows, part_rows});
    const size_t before = r.encoder.commands().size();
    const Status status = record_gated_matmul(r.recorder, weights, r.activation(64, 1), GateFunction::silu, {}, r.activation(2 * rows, 1), r.activation(dst_rows, 1));
    CHECK(status.ok() == (r.encoder.commands().size() > before));
    return r.encoder.commands().size() - before;
  };
  CHECK(commands({WeightType::q4_1}, 3 * lanes, 64, 3 * lanes) == 1);
  CHECK(commands({WeightType::q4_1}, 3 * lanes + 1, 64, 3 * lanes + 1) == 2);
  CHECK(commands({WeightType::q4_1, WeightType::q8_0}, lanes, 64, lanes) == 3);
  CHECK(commands({WeightType::q4_1}, lanes, 96, lanes) == 0);
  CHECK(commands({WeightType::q4_1}, lanes, 64, 2 * lanes) == 0);
}

TEST_CASE("kernels: parts whose weights have scales are multiplied in 8-bit integers if their source has codes, others as ever") {
  NullRecording r;
  r.variants.cooperative_shape = {16, 16, 16};
  r.variants.cooperative_subgroup = 32;
  const uint32_t lanes = r.variants.lanes;
  const auto kernels = [&](const std::vector<WeightType>& types, bool codes) {
    WeightMatrix weights{lanes * static_cast<uint32_t>(types.size()), 64, {}};
    for (const WeightType type : types) weights.parts.push_back({type, r.buffer.slice(), static_cast<uint32_t>(weights.parts.size()) * lanes, lanes});
    Activation src = r.activation(64, 32, 16);
    if (codes) src.codes = r.buffer.slice(1 << 19, Activation::code_bytes(64, 32));
    const size_t before = r.encoder.commands().size();
    CHECK(record_matmul(r.recorder, weights, src, r.activation(weights.rows, 32, 16)).ok());
    std::vector<KernelId> recorded;
    for (const Command& command : r.encoder.commands().subspan(before)) recorded.push_back(command.kernel.id);
    return recorded;
  };
  using enum KernelId;
  CHECK(kernels({WeightType::q4_1}, true) == std::vector{matmul_int8});
  CHECK(kernels({WeightType::q4_1}, false) == std::vector{matmul_cooperative});
  CHECK(kernels({WeightType::f16}, true) == std::vector{matmul_cooperative});
  CHECK(kernels({WeightType::bf16, WeightType::q6_k}, true) == std::vector{matmul_cooperative, matmul_int8});
  r.variants.cooperative_shape = {};
  WeightMatrix gate_up{2 * lanes, 64, {{WeightType::q4_1, r.buffer.slice(), 0, 2 * lanes}}};
  Activation src = r.activation(64, 32, 16);
  src.codes = r.buffer.slice(1 << 19, Activation::code_bytes(64, 32));
  const size_t before = r.encoder.commands().size();
  CHECK(record_gated_matmul(r.recorder, gate_up, src, GateFunction::silu, {}, r.activation(2 * lanes, 32, 16), r.activation(lanes, 32, 16)).ok());
  REQUIRE(r.encoder.commands().size() == before + 2);
  CHECK(r.encoder.commands()[before].kernel.id == matmul_int8);
  CHECK(r.encoder.commands()[before + 1].kernel.id == gated_activation);
}

TEST_CASE("kernels: an activation that is no multiple of 32 wide, or has too little room for its codes, is not quantized") {
  NullRecording r;
  const BufferSlice codes = r.buffer.slice(1 << 19, Activation::code_bytes(64, 32));
  CHECK(record_quantize_columns(r.recorder, r.activation(80, 16, 16), codes).code() == Code::invalid_argument);
  CHECK(record_quantize_columns(r.recorder, r.activation(64, 48, 16), codes).code() == Code::invalid_argument);
  CHECK(r.encoder.commands().empty());
  CHECK(record_quantize_columns(r.recorder, r.activation(64, 32, 16), codes).ok());
  Activation src = r.activation(64, 48, 16);
  src.codes = codes;
  const WeightMatrix weights{16, 64, {{WeightType::q4_1, r.buffer.slice(), 0, 16}}};
  CHECK(record_matmul(r.recorder, weights, src, r.activation(16, 48, 16)).code() == Code::invalid_argument);
  CHECK(r.encoder.commands().size() == 1);
}

TEST_CASE("kernels: weights that are too short for their rows are refused") {
  NullRecording r;
  const uint64_t bytes = packed_bytes(r.variants.weight_layout, r.variants.tile_rows, WeightType::q8_0, 16, 64);
  const WeightMatrix weights{16, 64, {{WeightType::q8_0, r.buffer.slice(0, bytes - 4), 0, 16}}};
  CHECK(record_matmul(r.recorder, weights, r.activation(64, 1), r.activation(16, 1)).code() == Code::invalid_argument);
}

TEST_CASE("kernels: parts of a matrix must follow each other") {
  NullRecording r;
  const WeightMatrix gap{32, 64, {{WeightType::f16, r.buffer.slice(), 0, 8}, {WeightType::f16, r.buffer.slice(), 16, 16}}};
  CHECK(record_matmul(r.recorder, gap, r.activation(64, 1), r.activation(32, 1)).code() == Code::invalid_argument);
  CHECK(r.encoder.commands().empty());
}

TEST_CASE("kernels: attention refuses heads that do not divide, odd head sizes and layers outside the group") {
  NullRecording r;
  const StepTables tables{r.buffer.slice(), r.buffer.slice(), {}};
  const auto attend = [&](AttentionShape shape) { return record_attend_decode(r.recorder, r.activation(9 * 64, 1), shape, tables, 1, r.buffer.slice()).code(); };
  CHECK(attend({kPage, 1, 9, 0, 1}) == Code::ok);
  CHECK(attend({kPage, 2, 9, 0, 1}) == Code::invalid_argument);
  CHECK(attend({kPage, 1, 8, 0, 1}) == Code::invalid_argument);
  CHECK(attend({{2, 3, 60, 64, 16}, 1, 9, 0, 1}) == Code::invalid_argument);
  CHECK(r.encoder.commands().size() == 1);
}

TEST_CASE("kernels: sample takes a SamplingRow and room for a SampleResult a row of logits, and rows whose weights its sums can hold") {
  NullRecording r;
  const auto sample = [&](const Activation& logits, uint64_t row_bytes, uint64_t result_bytes) {
    return record_sample(r.recorder, logits, r.buffer.slice(1 << 18, row_bytes), r.buffer.slice(1 << 19, result_bytes)).code();
  };
  CHECK(sample(r.activation(10, 3), 3 * sizeof(SamplingRow) - 4, 3 * sizeof(SampleResult)) == Code::invalid_argument);
  CHECK(sample(r.activation(10, 3), 3 * sizeof(SamplingRow), 3 * sizeof(SampleResult) - 4) == Code::invalid_argument);
  CHECK(sample(r.activation(10, 4, 2), 4 * sizeof(SamplingRow), 4 * sizeof(SampleResult)) == Code::invalid_argument);
  CHECK(sample(r.activation(SAMPLING_ROW_LIMIT + 1, 1), sizeof(SamplingRow), sizeof(SampleResult)) == Code::invalid_argument);
  CHECK(r.encoder.commands().empty());
  CHECK(sample(r.activation(10, 3), 3 * sizeof(SamplingRow), 3 * sizeof(SampleResult)) == Code::ok);
}

TEST_CASE("kernels: activations of more bytes than 32 bits count are refused") {
  NullRecording r;
  BufferSlice most = r.buffer.slice();
  most.size_bytes = uint64_t{5} << 30;
  constexpr uint32_t kWidth = 1U << 20;
  const WeightMatrix weights{16, kWidth, {{WeightType::q4_1, r.buffer.slice(), 0, 16}}};
  for (const uint32_t columns : {1023U, 1024U}) {
    const Status status = record_matmul(r.recorder, weights, {most, kWidth, columns, 1}, {most, 16, columns, 1});
    REQUIRE_FALSE(status.ok());
    CHECK((status.error().message.find("more than kernels address") != std::string::npos) == (columns == 1024));
  }
}
