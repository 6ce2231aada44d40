// Dispatches kept in the driver: recorded once, they run again on other contents and give what they give one by one.
#include <optional>

#include "tests/support/vulkan_fixture.hpp"
#include "tests/support/vulkan_shim.hpp"
#include "tests/unit/vulkan/small_step.hpp"

using namespace quire;
using namespace quire::test;

namespace {

constexpr uint32_t kColumns = 4;
constexpr uint64_t kBytes = kColumns * kStepWidth * sizeof(float);
using Columns = std::vector<float>;

void done(const Status& status) { REQUIRE_MESSAGE(status.ok(), status.error().message); }

template <class T>
T taken(Result<T> result) {
  REQUIRE_MESSAGE(result.ok(), (result.ok() ? std::string() : result.error().message));
  return std::move(result).value();
}

/// Columns turned round twice, by two dispatches of which the second reads what the first wrote.
class Turns {
 public:
  explicit Turns(Device& device)
      : device_(device),
        source_(taken(device.create_buffer(kBytes, BufferUse::device, "source"))),
        between_(taken(device.create_buffer(kBytes, BufferUse::device, "between"))),
        result_(taken(device.create_buffer(kBytes, BufferUse::device, "result"))),
        selection_(taken(device.create_buffer(kColumns * 4, BufferUse::device, "selection"))),
        readback_(taken(device.create_buffer(kBytes, BufferUse::readback, "readback"))) {}

  void record(Encoder& encoder) {
    for (const auto& [from, to] : {std::pair{&source_, &between_}, std::pair{&between_, &result_}}) {
      GatherColumnsArgs args{};
      args.width = kStepWidth;
      args.column_count = kColumns;
      const std::array<BufferSlice, 3> bindings = {from->slice(), selection_.slice(), to->slice()};
      done(encoder.dispatch({gather_kernel(), std::as_bytes(std::span(&args, 1)), bindings, {}, {1, 1, kColumns}, {}}));
    }
  }
  Encoder kernels() {
    Encoder encoder = device_.encoder();
    record(encoder);
    return encoder;
  }
  /// `record` records the kernels between upload and copy back.
  template <class F>
  Columns run(const Columns& columns, const std::array<uint32_t, kColumns>& selection, F&& record) {
    Encoder encoder = device_.encoder();
    done(encoder.upload(source_.slice(), std::as_bytes(std::span(columns))));
    done(encoder.upload(selection_.slice(), std::as_bytes(std::span(selection))));
    record(encoder);
    done(encoder.copy(result_.slice(), readback_.slice()));
    done(device_.wait(taken(device_.submit(std::move(encoder))), kPatience));
    Columns answer(columns.size());
    std::memcpy(answer.data(), readback_.mapped().data(), kBytes);
    return answer;
  }
  std::vector<Access> accesses() const {
    return {{source_.slice(), AccessMode::read}, {selection_.slice(), AccessMode::read}, {between_.slice(), AccessMode::read_write}, {result_.slice(), AccessMode::write}};
  }

 private:
  Device& device_;
  Buffer source_, between_, result_, selection_, readback_;
};

Columns columns_from(float first) {
  Columns columns(kColumns * kStepWidth);
  for (uint32_t i = 0; i < columns.size(); ++i) columns[i] = first + static_cast<float>(i);
  return columns;
}

Columns turned_twice(const Columns& columns, const std::array<uint32_t, kColumns>& selection) {
  Columns answer;
  for (const uint32_t column : selection)
    for (uint32_t k = 0; k < kStepWidth; ++k) answer.push_back(columns[selection[column] * kStepWidth + k]);
  return answer;
}

constexpr std::array<uint32_t, kColumns> kSelections[] = {{1, 2, 3, 0}, {3, 3, 0, 2}, {0, 0, 1, 1}};

}  // namespace

TEST_CASE("vulkan_recording: replays read what is there when they run, are recorded once and take no dispatch of the host's") {
  VulkanShim shim;
  {
    VulkanFixture fixture([&](DeviceOptions& options) { options.get_instance_proc_addr = shim.entry(); });
    Turns turns(fixture.device());
    const uint64_t barriers = shim.calls("vkCmdPipelineBarrier");
    const Recording recording = taken(fixture.device().keep(turns.kernels()));
    CHECK(recording.in_driver());
    CHECK(shim.calls("vkCmdPipelineBarrier") - barriers == 1);  // between the two
    const uint64_t dispatches = shim.calls("vkCmdDispatch");
    CHECK(dispatches == 2);
    float first = 0;
    for (const auto& selection : kSelections) {
      const Columns columns = columns_from(first += 1000);
      CHECK(turns.run(columns, selection, [&](Encoder& encoder) { done(encoder.replay(recording, turns.accesses())); }) == turned_twice(columns, selection));
    }
    CHECK(shim.calls("vkCmdDispatch") == dispatches);
    CHECK(shim.calls("vkCmdExecuteCommands") == 3);
  }
  CHECK_MESSAGE(shim.live_objects().empty(), shim.describe_live_objects());
}

TEST_CASE("vulkan_recording: replays beside other dispatches in one submission wait for them and for each other") {
  VulkanFixture fixture;
  Turns turns(fixture.device());
  const Recording recording = taken(fixture.device().keep(turns.kernels()));
  const Columns columns = columns_from(5);
  const Columns answer = turns.run(columns, kSelections[1], [&](Encoder& encoder) {
    done(encoder.replay(recording, turns.accesses()));
    turns.record(encoder);
    for (int i = 0; i < 2; ++i) done(encoder.replay(recording, turns.accesses()));
  });
  CHECK(answer == turned_twice(columns, kSelections[1]));
}

TEST_CASE("vulkan_recording: one that is destroyed while it runs is freed afterwards") {
  VulkanShim shim;
  {
    VulkanFixture fixture([&](DeviceOptions& options) { options.get_instance_proc_addr = shim.entry(); });
    Turns turns(fixture.device());
    std::optional<Recording> recording = taken(fixture.device().keep(turns.kernels()));
    const Columns columns = columns_from(9);
    const Columns answer = turns.run(columns, kSelections[0], [&](Encoder& encoder) {
      done(encoder.replay(*recording, turns.accesses()));
      recording.reset();
    });
    CHECK(answer == turned_twice(columns, kSelections[0]));
  }
  CHECK_MESSAGE(shim.live_objects().empty(), shim.describe_live_objects());
}

TEST_CASE("vulkan_recording: where dispatches are measured, replays are measured one by one") {
  VulkanFixture fixture([](DeviceOptions& options) { options.timestamps = true; });
  Turns turns(fixture.device());
  const Recording recording = taken(fixture.device().keep(turns.kernels()));
  const bool measured = !recording.in_driver();  // a queue may have no timestamps
  const Columns columns = columns_from(3);
  CHECK(turns.run(columns, kSelections[2], [&](Encoder& encoder) { done(encoder.replay(recording, turns.accesses())); }) == turned_twice(columns, kSelections[2]));
  CHECK(taken(fixture.device().take_timings()).size() == (measured ? 2 : 0));
}

TEST_CASE("vulkan_recording: each call that fails while a recording is made leaves nothing behind, and another attempt succeeds") {
  VulkanShim shim;
  {
    VulkanFixture fixture([&](DeviceOptions& options) { options.get_instance_proc_addr = shim.entry(); });
    Turns turns(fixture.device());
    REQUIRE(fixture.device().keep(turns.kernels()).ok());  // the pipeline is there from now on
    const auto before = shim.live_objects();
    for (const char* function : {"vkAllocateCommandBuffers", "vkBeginCommandBuffer", "vkEndCommandBuffer"}) {
      CAPTURE(function);
      shim.fail({function});
      CHECK(fixture.device().keep(turns.kernels()).code() == Code::out_of_host_memory);
      shim.stop_failing();
      CHECK(shim.live_objects() == before);
    }
    const Recording recording = taken(fixture.device().keep(turns.kernels()));
    const Columns columns = columns_from(1);
    CHECK(turns.run(columns, kSelections[0], [&](Encoder& encoder) { done(encoder.replay(recording, turns.accesses())); }) == turned_twice(columns, kSelections[0]));
  }
}
