// The encoder's barriers against a model that knows nothing of ranges: one flag a byte.
#include <doctest/doctest.h>

#include <array>
#include <bitset>
#include <random>

#include "engine/device/null/null_device.hpp"
#include "tests/unit/device/fake_backend.hpp"

namespace quire {
namespace {

constexpr size_t kBuffers = 3;
constexpr uint64_t kBufferBytes = 96;
constexpr size_t kGraphs = 5000;
constexpr size_t kCommands = 24;

using Bytes = std::bitset<kBuffers * kBufferBytes>;

struct Touched {
  Bytes read;
  Bytes written;
};

bool conflict(const Touched& a, const Touched& b) {
  return (a.written & b.read).any() || (a.read & b.written).any() || (a.written & b.written).any();
}

/// Records random commands on one encoder and notes the bytes that each touches.
class Graph {
 public:
  Graph(Device& device, std::span<const Buffer> buffers, uint32_t seed) : encoder_(device.encoder()), buffers_(buffers), random_(seed) {
    while (touched_.size() < kCommands) add_command();
  }
  std::span<const Command> commands() const { return encoder_.commands(); }
  std::span<const Touched> touched() const { return touched_; }

 private:
  uint64_t pick(uint64_t count) { return std::uniform_int_distribution<uint64_t>(0, count - 1)(random_); }

  // Short slices at multiples of 4, so that a graph has all of: equal, overlapping, touching and distant ranges.
  BufferSlice slice(uint64_t granularity) {
    const Buffer& buffer = buffers_[pick(kBuffers)];
    const uint64_t offset = 4 * pick(kBufferBytes / 4);
    const uint64_t room = std::min<uint64_t>(kBufferBytes - offset, 24);
    return buffer.slice(offset, granularity * (1 + pick(room / granularity)));
  }

  void note(Bytes& bytes, const BufferSlice& slice) const {
    for (size_t b = 0; b < kBuffers; ++b)
      if (buffers_[b].slice().buffer == slice.buffer)
        for (uint64_t i = 0; i < slice.size_bytes; ++i) bytes.set(b * kBufferBytes + slice.offset_bytes + i);
  }
  void note(Touched& touched, const BufferSlice& slice, AccessMode mode) const {
    if (mode != AccessMode::write) note(touched.read, slice);
    if (mode != AccessMode::read) note(touched.written, slice);
  }

  void add_command() {
    Touched touched;
    switch (pick(5)) {
      case 0: {
        const BufferSlice destination = slice(4);
        REQUIRE(encoder_.fill(destination, 7).ok());
        note(touched, destination, AccessMode::write);
        break;
      }
      case 1: {
        const BufferSlice destination = slice(4);
        BufferSlice source = slice(4);
        source.offset_bytes = std::min(source.offset_bytes, kBufferBytes - destination.size_bytes);
        source.size_bytes = destination.size_bytes;
        if (!encoder_.copy(source, destination).ok()) return;  // overlapping
        note(touched, source, AccessMode::read);
        note(touched, destination, AccessMode::write);
        break;
      }
      case 2: {
        const BufferSlice destination = slice(4);
        const std::vector<std::byte> bytes(destination.size_bytes);
        REQUIRE(encoder_.upload(destination, bytes).ok());
        note(touched, destination, AccessMode::write);
        break;
      }
      default: add_dispatch(touched);
    }
    touched_.push_back(touched);
  }

  void add_dispatch(Touched& touched) {
    constexpr std::array kKernels = {KernelId::rms_norm, KernelId::matmul_few, KernelId::gated_activation, KernelId::argmax};
    const KernelId id = kKernels[pick(kKernels.size())];
    KernelCall call(id);
    const auto fields = kernel_info(id).addresses;
    for (size_t i = 0; i < fields.size(); ++i) {
      if (fields[i].optional && pick(2) == 0) continue;
      const BufferSlice bound = slice(1);
      call.bind(i, bound);
      note(touched, bound, fields[i].mode);
    }
    std::vector<Access> indirect;
    for (uint64_t left = pick(3); left > 0; --left) {
      indirect.push_back({slice(1), std::array{AccessMode::read, AccessMode::write, AccessMode::read_write}[pick(3)]});
      note(touched, indirect.back().slice, indirect.back().mode);
    }
    call.dispatch.indirect = indirect;
    REQUIRE(encoder_.dispatch(call.dispatch).ok());
  }

  Encoder encoder_;
  std::span<const Buffer> buffers_;
  std::mt19937 random_;
  std::vector<Touched> touched_;
};

struct Outcomes {
  size_t barriers = 0;
  size_t without_barrier = 0;
  size_t only_read_after_write = 0;
  size_t only_write_after_read = 0;
  size_t only_write_after_write = 0;
};

/// Every pair of commands that touch one byte, one of them writing it, has a barrier between them.
void check_every_conflict_is_ordered(const Graph& graph) {
  const auto touched = graph.touched();
  for (size_t j = 1; j < touched.size(); ++j)
    for (size_t i = j; i-- > 0;) {
      if (graph.commands()[i + 1].barrier_before) break;
      CAPTURE(i);
      CAPTURE(j);
      REQUIRE_FALSE(conflict(touched[i], touched[j]));
    }
}

/// A barrier stands exactly where the model, which places one as late as it can, has one.
void check_no_barrier_is_needless(const Graph& graph, Outcomes& outcomes) {
  Touched since_barrier;
  for (size_t i = 0; i < graph.touched().size(); ++i) {
    CAPTURE(i);
    const Touched& command = graph.touched()[i];
    const bool needed = conflict(since_barrier, command);
    REQUIRE(graph.commands()[i].barrier_before == needed);
    const bool read_after_write = (since_barrier.written & command.read).any();
    const bool write_after_read = (since_barrier.read & command.written).any();
    const bool write_after_write = (since_barrier.written & command.written).any();
    ++(needed ? outcomes.barriers : outcomes.without_barrier);
    outcomes.only_read_after_write += read_after_write && !write_after_read && !write_after_write;
    outcomes.only_write_after_read += !read_after_write && write_after_read && !write_after_write;
    outcomes.only_write_after_write += !read_after_write && !write_after_read && write_after_write;
    if (needed) since_barrier = {};
    since_barrier.read |= command.read;
    since_barrier.written |= command.written;
  }
}

TEST_CASE("encoder: random graphs have a barrier between every two conflicting commands, and none that is not needed") {
  Device device = Device::from_backend(make_null_device({}), {}).value();
  std::vector<Buffer> buffers;
  for (size_t b = 0; b < kBuffers; ++b) buffers.push_back(make_buffer(device, kBufferBytes));
  Outcomes outcomes;
  for (uint32_t seed = 1; seed <= kGraphs; ++seed) {
    CAPTURE(seed);
    const Graph graph(device, buffers, seed);
    REQUIRE(graph.commands().size() == graph.touched().size());
    check_every_conflict_is_ordered(graph);
    check_no_barrier_is_needless(graph, outcomes);
  }
  MESSAGE("barriers ", outcomes.barriers, ", none ", outcomes.without_barrier, ", for read-after-write alone ", outcomes.only_read_after_write,
          ", write-after-read alone ", outcomes.only_write_after_read, ", write-after-write alone ", outcomes.only_write_after_write);
  CHECK(outcomes.without_barrier > 0);
  CHECK(outcomes.only_read_after_write > 0);
  CHECK(outcomes.only_write_after_read > 0);
  CHECK(outcomes.only_write_after_write > 0);
}

TEST_CASE("encoder: full barriers stand before every command") {
  DeviceOptions options;
  options.barriers = BarrierMode::full;
  Device device = Device::from_backend(make_null_device({}), options).value();
  std::vector<Buffer> buffers;
  for (size_t b = 0; b < kBuffers; ++b) buffers.push_back(make_buffer(device, kBufferBytes));
  const Graph graph(device, buffers, 1);
  for (const Command& command : graph.commands()) CHECK(command.barrier_before);
}

TEST_CASE("encoder: uploads of one step to different places need no barrier among themselves") {
  Device device = Device::from_backend(make_null_device({}), {}).value();
  const Buffer buffer = make_buffer(device, 4096);
  const std::vector<std::byte> bytes(64);
  Encoder encoder = device.encoder();
  for (uint64_t offset = 0; offset < 4096; offset += 64) REQUIRE(encoder.upload(buffer.slice(offset, 64), bytes).ok());
  for (const Command& command : encoder.commands()) CHECK_FALSE(command.barrier_before);
}

}  // namespace
}  // namespace quire
