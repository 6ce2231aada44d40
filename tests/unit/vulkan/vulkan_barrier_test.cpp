// Random graphs of copies, fills and dispatches over overlapping slices, against a model of the bytes on the host. The validation layers watch
// for hazards; results must not depend on where the barriers are.
#include <array>
#include <random>

#include "tests/support/vulkan_fixture.hpp"
#include "tests/unit/vulkan/small_step.hpp"

using namespace quire;
using namespace quire::test;

namespace {

constexpr uint32_t kBuffers = 3;
constexpr uint32_t kWords = 256;
constexpr uint32_t kCommandsPerGraph = 40;

using Model = std::array<std::array<uint32_t, kWords>, kBuffers>;

struct Counts {
  uint64_t copies = 0;
  uint64_t fills = 0;
  uint64_t dispatches = 0;
  uint64_t refused = 0;  ///< overlapping copies and dispatches onto their own input, which the model leaves out
  uint64_t submits = 0;
};

/// A device and a model that take the same random commands.
class Graph {
 public:
  Graph(Device& device, uint32_t seed) : device_(device), random_(seed) {
    for (Buffer& buffer : buffers_) buffer = make(BufferUse::device);
    for (Buffer& buffer : readbacks_) buffer = make(BufferUse::readback);
    Result<Buffer> selection = device.create_buffer(4, BufferUse::device, "selection");
    REQUIRE(selection.ok());
    selection_ = std::move(selection).value();
    Encoder encoder = device_.encoder();
    REQUIRE(encoder.fill(selection_.slice(), 0).ok());
    for (Buffer& buffer : buffers_) REQUIRE(encoder.fill(buffer.slice(), 0).ok());
    REQUIRE(device_.submit(std::move(encoder)).ok());
  }

  void run(Counts& counts) {
    Encoder encoder = device_.encoder();
    for (uint32_t i = 0; i < kCommandsPerGraph; ++i) {
      switch (below(3)) {
        case 0: fill(encoder, counts); break;
        case 1: copy(encoder, counts); break;
        default: gather(encoder, counts); break;
      }
      if (below(12) == 0) {
        REQUIRE(device_.submit(std::move(encoder)).ok());
        encoder = device_.encoder();
        ++counts.submits;
      }
    }
    for (uint32_t b = 0; b < kBuffers; ++b) REQUIRE(encoder.copy(buffers_[b].slice(), readbacks_[b].slice()).ok());
    const Result<uint64_t> value = device_.submit(std::move(encoder));
    REQUIRE(value.ok());
    REQUIRE(device_.wait(*value, kPatience).ok());
    ++counts.submits;
  }

  const Model& model() const { return model_; }
  Model device_bytes() const {
    Model bytes{};
    for (uint32_t b = 0; b < kBuffers; ++b) std::memcpy(bytes[b].data(), readbacks_[b].mapped().data(), sizeof bytes[b]);
    return bytes;
  }

 private:
  struct Slice {
    uint32_t buffer;
    uint32_t first;
    uint32_t count;
  };

  Buffer make(BufferUse use) {
    Result<Buffer> buffer = device_.create_buffer(kWords * 4, use, "graph");
    REQUIRE(buffer.ok());
    return std::move(buffer).value();
  }
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  Slice slice(uint32_t count) { return {below(kBuffers), below(kWords - count + 1), count}; }
  BufferSlice bytes(const Slice& s) const { return buffers_[s.buffer].slice(uint64_t{4} * s.first, uint64_t{4} * s.count); }
  static bool overlap(const Slice& a, const Slice& b) {
    return a.buffer == b.buffer && a.first < b.first + b.count && b.first < a.first + a.count;
  }
  void move_words(const Slice& from, const Slice& to) {
    for (uint32_t i = 0; i < from.count; ++i) model_[to.buffer][to.first + i] = model_[from.buffer][from.first + i];
  }

  void fill(Encoder& encoder, Counts& counts) {
    const Slice to = slice(1 + below(60));
    const uint32_t word = static_cast<uint32_t>(random_());
    REQUIRE(encoder.fill(bytes(to), word).ok());
    std::fill_n(model_[to.buffer].begin() + to.first, to.count, word);
    ++counts.fills;
  }

  void copy(Encoder& encoder, Counts& counts) {
    const uint32_t count = 1 + below(60);
    const Slice from = slice(count);
    const Slice to = slice(count);
    const Status status = encoder.copy(bytes(from), bytes(to));
    if (overlap(from, to)) {
      CHECK(status.code() == Code::invalid_argument);
      ++counts.refused;
      return;
    }
    REQUIRE(status.ok());
    move_words(from, to);
    ++counts.copies;
  }

  /// Gathers one column: a copy done by a shader.
  void gather(Encoder& encoder, Counts& counts) {
    const uint32_t count = 1 + below(60);
    const Slice from = slice(count);
    const Slice to = slice(count);
    if (overlap(from, to)) {
      ++counts.refused;
      return;
    }
    GatherColumnsArgs args{};
    args.width = count;
    args.column_count = 1;
    const std::array<BufferSlice, 3> bindings = {bytes(from), selection_.slice(), bytes(to)};
    REQUIRE(encoder.dispatch({gather_kernel(), std::as_bytes(std::span(&args, 1)), bindings, {}, {2, 1, 1}, {}}).ok());
    move_words(from, to);
    ++counts.dispatches;
  }

  Device& device_;
  std::mt19937 random_;
  std::array<Buffer, kBuffers> buffers_;
  std::array<Buffer, kBuffers> readbacks_;
  Buffer selection_;
  Model model_{};
};

}  // namespace

TEST_CASE("vulkan_barriers: random graphs give the bytes of the host's model, tracked or with a barrier everywhere") {
  Counts counts;
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    VulkanFixture tracked;
    VulkanFixture full([](DeviceOptions& options) { options.barriers = BarrierMode::full; });
    Graph tracked_graph(tracked.device(), seed);
    Graph full_graph(full.device(), seed);
    for (int i = 0; i < 8; ++i) {
      tracked_graph.run(counts);
      full_graph.run(counts);
      CHECK(tracked_graph.device_bytes() == tracked_graph.model());
      CHECK(full_graph.device_bytes() == tracked_graph.device_bytes());
    }
  }
  MESSAGE("copies " << counts.copies << ", fills " << counts.fills << ", dispatches " << counts.dispatches << ", refused " << counts.refused
                    << ", submits " << counts.submits);
  CHECK(counts.copies > 0);
  CHECK(counts.fills > 0);
  CHECK(counts.dispatches > 0);
  CHECK(counts.refused > 0);
  CHECK(counts.submits > 0);
}
