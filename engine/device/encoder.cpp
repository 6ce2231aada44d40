#include "engine/device/encoder.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/checked.hpp"
#include "engine/device/command_checks.hpp"
#include "engine/device/encoder_state.hpp"
#include "engine/device/recording_state.hpp"

namespace quire {
namespace {

bool overlap(const BufferSlice& a, const BufferSlice& b) {
  return a.buffer == b.buffer && a.offset_bytes < b.offset_bytes + b.size_bytes && b.offset_bytes < a.offset_bytes + a.size_bytes;
}

Command copy_command(const BufferSlice& source, const BufferSlice& destination) {
  Command command;
  command.kind = Command::Kind::copy;
  command.source = source;
  command.destination = destination;
  command.work.bytes = source.size_bytes + destination.size_bytes;
  return command;
}

}  // namespace

Encoder::Encoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;
Encoder::~Encoder() = default;

std::span<const Command> Encoder::commands() const { return state_ ? std::span<const Command>(state_->commands) : std::span<const Command>(); }

void Encoder::State::record(const Command& command) {
  commands.push_back(command);
  if (core->barriers() == BarrierMode::full)
    commands.back().barrier_before = true;
  else
    commands.back().barrier_before = hazards.add(accesses);
}

Status Encoder::State::usable(const State* state) {
  if (!state) return make_error(Code::invalid_argument, "this encoder has been submitted or moved from");
  return state->core->usable();
}

Result<size_t> Encoder::State::stage(uint64_t size_bytes) {
  const size_t old_count = blocks.size();
  uint64_t room = old_count == 0 ? 0 : blocks.back().buffer->size_bytes - blocks.back().used_bytes;
  const size_t first = room == 0 ? old_count : old_count - 1;
  while (room < size_bytes) {
    auto block = core->take_staging();
    if (!block) {
      for (; blocks.size() > old_count; blocks.pop_back()) core->return_staging(std::move(blocks.back()));
      return std::move(block).error();
    }
    room += block->buffer->size_bytes;
    blocks.push_back(std::move(block).value());
  }
  return first;
}

Status Encoder::dispatch(const Dispatch& dispatch) {
  QUIRE_TRY(State::usable(state_.get()));
  const DeviceCore& core = *state_->core;
  QUIRE_TRY(check_dispatch_shape(dispatch, core.limits()));
  const KernelInfo& info = kernel_info(dispatch.kernel.id);

  Command command;
  command.kernel = dispatch.kernel;
  command.groups = dispatch.groups;
  command.work = dispatch.work;
  std::copy(dispatch.args.begin(), dispatch.args.end(), command.args.begin());
  state_->accesses.clear();
  for (size_t i = 0; i < info.addresses.size(); ++i) {
    const AddressField& field = info.addresses[i];
    const BufferSlice& slice = dispatch.bindings[i];
    uint64_t address = 0;
    if (slice) {
      QUIRE_TRY(check_slice(slice, core, field.name, info.name));
      address = slice.buffer->address + slice.offset_bytes;
      state_->accesses.push_back({slice, field.mode});
    }
    if (!field.optional && slice.size_bytes == 0)
      return make_error(Code::invalid_argument, "kernel %.*s: binding %.*s is empty", static_cast<int>(info.name.size()), info.name.data(),
                        static_cast<int>(field.name.size()), field.name.data());
    std::memcpy(command.args.data() + field.offset_bytes, &address, sizeof address);
  }
  for (const Access& access : dispatch.indirect) {
    if (!access.slice) return make_error(Code::invalid_argument, "kernel %.*s: an indirect access is not bound to a buffer",
                                         static_cast<int>(info.name.size()), info.name.data());
    QUIRE_TRY(check_slice(access.slice, core, "an indirect access", info.name));
    state_->accesses.push_back(access);
  }
  if (std::find(dispatch.groups.begin(), dispatch.groups.end(), 0u) == dispatch.groups.end()) state_->record(command);
  return {};
}

Status Encoder::copy(BufferSlice source, BufferSlice destination) {
  QUIRE_TRY(State::usable(state_.get()));
  QUIRE_TRY(check_transfer_slice(source, *state_->core, "the source", "copy"));
  QUIRE_TRY(check_transfer_slice(destination, *state_->core, "the destination", "copy"));
  if (source.size_bytes != destination.size_bytes)
    return make_error(Code::invalid_argument, "copy: the source has %llu bytes, the destination %llu",
                      static_cast<unsigned long long>(source.size_bytes), static_cast<unsigned long long>(destination.size_bytes));
  if (source.size_bytes == 0) return {};
  if (overlap(source, destination))
    return make_error(Code::invalid_argument, "copy: %llu bytes from byte %llu to byte %llu of one buffer overlap",
                      static_cast<unsigned long long>(source.size_bytes), static_cast<unsigned long long>(source.offset_bytes),
                      static_cast<unsigned long long>(destination.offset_bytes));
  state_->accesses = {{source, AccessMode::read}, {destination, AccessMode::write}};
  state_->record(copy_command(source, destination));
  return {};
}

Status Encoder::fill(BufferSlice destination, uint32_t word) {
  QUIRE_TRY(State::usable(state_.get()));
  QUIRE_TRY(check_transfer_slice(destination, *state_->core, "the destination", "fill"));
  if (destination.size_bytes == 0) return {};
  Command command;
  command.kind = Command::Kind::fill;
  command.destination = destination;
  command.fill_word = word;
  command.work.bytes = destination.size_bytes;
  state_->accesses = {{destination, AccessMode::write}};
  state_->record(command);
  return {};
}

Status Encoder::replay(const Recording& recording, std::span<const Access> accesses) {
  QUIRE_TRY(State::usable(state_.get()));
  if (!recording || recording.kept_->core != state_->core)
    return make_error(Code::invalid_argument, "replay: the recording is %s", recording ? "another device's" : "empty");
  for (const Access& access : accesses) {
    if (!access.slice) return make_error(Code::invalid_argument, "replay: an access is not bound to a buffer");
    QUIRE_TRY(check_slice(access.slice, *state_->core, "an access", "replay"));
  }
  const std::vector<Command>& dispatches = recording.kept_->commands->commands;
  if (dispatches.empty()) return {};
  state_->accesses.assign(accesses.begin(), accesses.end());
  state_->recordings.push_back(recording.kept_->commands);
  if (recording.in_driver() && state_->core->fit_one_submission(dispatches)) {
    Command command;
    command.kind = Command::Kind::replay;
    command.recording = recording.kept_->commands.get();
    command.work = recording.kept_->work;
    state_->record(command);
    return {};
  }
  state_->record(dispatches.front());
  state_->commands.insert(state_->commands.end(), dispatches.begin() + 1, dispatches.end());  // with the barriers between them that they have
  return {};
}

Status Encoder::upload(BufferSlice destination, std::span<const std::byte> bytes) {
  QUIRE_TRY(State::usable(state_.get()));
  QUIRE_TRY(check_transfer_slice(destination, *state_->core, "the destination", "upload"));
  if (destination.size_bytes != bytes.size())
    return make_error(Code::invalid_argument, "upload: the destination has %llu bytes, the source %zu",
                      static_cast<unsigned long long>(destination.size_bytes), bytes.size());
  if (bytes.empty()) return {};
  QUIRE_ASSIGN(size_t block_index, state_->stage(bytes.size()));
  for (; !bytes.empty(); ++block_index) {
    StagingBlock& block = state_->blocks[block_index];
    const uint64_t piece = std::min<uint64_t>(bytes.size(), block.buffer->size_bytes - block.used_bytes);
    const BufferSlice source{block.buffer.get(), block.used_bytes, piece};
    std::memcpy(block.buffer->mapped + block.used_bytes, bytes.data(), piece);
    block.used_bytes = *checked_align_up(block.used_bytes + piece, kStagingAlignment);
    // The host wrote the source and nothing on the device ever does: only the destination can be a hazard.
    const BufferSlice target{destination.buffer, destination.offset_bytes, piece};
    state_->accesses = {{target, AccessMode::write}};
    state_->record(copy_command(source, target));
    destination.offset_bytes += piece;
    bytes = bytes.subspan(piece);
  }
  return {};
}

}  // namespace quire
