#include "tests/conformance/support/case_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>
#include <string_view>
#include <utility>

#include "tests/conformance/support/compare.hpp"

namespace quire::conformance {
namespace {

constexpr uint64_t kRegionAlignment = 256;
constexpr uint64_t kOperandAlignment = 16;  // kernels read four floats at a time
constexpr auto kRunTimeout = std::chrono::seconds(120);

void poison_to(std::vector<std::byte>& image, uint64_t size_bytes) {
  const uint64_t begin = image.size();
  image.resize(size_bytes);
  for (uint64_t i = begin; i < size_bytes; ++i) image[i] = static_cast<std::byte>(kPoison >> (8 * (i % 4)));
}

uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

CaseMemory::CaseMemory(TestDevice& device) : device_(device) {
  const char* guard = std::getenv("QUIRE_TEST_GUARD");
  if (guard != nullptr && std::string_view(guard) == "pages" && device.device().info().driver.starts_with("llvmpipe"))
    guard_page_bytes_ = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

Region CaseMemory::add_poisoned(uint64_t size_bytes, RegionUse use, uint32_t arena) {
  std::vector<std::byte>& image = arenas_[arena].image;
  uint64_t offset = round_up(image.size() + kGuardBytes, kRegionAlignment);
  if (guard_page_bytes_ != 0) offset = round_up(offset + size_bytes, guard_page_bytes_) - round_up(size_bytes, kOperandAlignment);
  poison_to(image, offset + round_up(size_bytes, 4));
  if (guard_page_bytes_ != 0) {
    arenas_[arena].guard_pages.push_back(round_up(image.size(), guard_page_bytes_));
    poison_to(image, arenas_[arena].guard_pages.back() + guard_page_bytes_);
  }
  const Region region{arena, offset, size_bytes};
  if (use == RegionUse::output) arenas_[arena].outputs.push_back(region);
  return region;
}

Region CaseMemory::add_output(uint64_t size_bytes, uint32_t arena) { return add_poisoned(size_bytes, RegionUse::output, arena); }

Region CaseMemory::add(std::span<const std::byte> contents, uint32_t arena) {
  const Region region = add_poisoned(contents.size(), RegionUse::input, arena);
  if (!contents.empty()) std::memcpy(arenas_[arena].image.data() + region.offset_bytes, contents.data(), contents.size());
  return region;
}

void CaseMemory::place() {
  for (uint32_t a = 0; a < kArenaCount; ++a) {
    if (arenas_[a].image.empty()) continue;
    poison_to(arenas_[a].image, arenas_[a].image.size() + kGuardBytes);
    device_.grow_arena(a, arenas_[a].image.size());
  }
}

uint64_t CaseMemory::address(const Region& region) const { return device_.arena(region.arena).address() + region.offset_bytes; }

BufferSlice CaseMemory::slice(const Region& region) const {
  return region.size_bytes == 0 ? BufferSlice{} : device_.arena(region.arena).slice(region.offset_bytes, region.size_bytes);
}

std::span<std::byte> CaseMemory::contents(const Region& region) {
  return std::span(arenas_[region.arena].image).subspan(region.offset_bytes, region.size_bytes);
}

std::string CaseMemory::run(const std::function<Status(Recorder)>& record) {
  const auto attempt = [&]() -> Status {
    Encoder encoder = device_.device().encoder();
    for (uint32_t a = 0; a < kArenaCount; ++a)
      if (!arenas_[a].image.empty()) QUIRE_TRY(encoder.upload(device_.arena(a).slice(0, arenas_[a].image.size()), arenas_[a].image));
    if (guard_page_bytes_ != 0) {
      QUIRE_TRY(submit_and_wait(std::exchange(encoder, device_.device().encoder())));
      protect_guard_pages(false);
    }
    QUIRE_TRY(device_.persistent_workers() == 0 ? record({encoder, device_.variants()}) : run_persistent(record, encoder));
    if (guard_page_bytes_ != 0) {
      const Status ran = submit_and_wait(std::exchange(encoder, device_.device().encoder()));
      protect_guard_pages(true);
      QUIRE_TRY(ran);
    }
    for (uint32_t a = 0; a < kArenaCount; ++a) {
      const uint64_t size = arenas_[a].image.size();
      if (size != 0) QUIRE_TRY(encoder.copy(device_.arena(a).slice(0, size), device_.readback(a).slice(0, size)));
    }
    return submit_and_wait(std::move(encoder));
  };
  if (const Status status = attempt(); !status) return status.error().message;
  for (uint32_t a = 0; a < kArenaCount; ++a) {
    Arena& arena = arenas_[a];
    if (arena.image.empty()) continue;
    const auto bytes = device_.readback(a).mapped().first(arena.image.size());
    arena.result.assign(bytes.begin(), bytes.end());
  }
  return unexpected_writes();
}

Status CaseMemory::submit_and_wait(Encoder encoder) {
  QUIRE_ASSIGN(const uint64_t done, device_.device().submit(std::move(encoder)));
  return device_.device().wait(done, kRunTimeout);
}

void CaseMemory::protect_guard_pages(bool accessible) const {
  for (uint32_t a = 0; a < kArenaCount; ++a)
    for (const uint64_t begin : arenas_[a].guard_pages)
      if (mprotect(reinterpret_cast<void*>(device_.arena(a).address() + begin), guard_page_bytes_, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        FAIL("guard pages need an arena at a page's beginning");
}

Status CaseMemory::run_persistent(const std::function<Status(Recorder)>& record, Encoder& encoder) {
  constexpr uint32_t kSpinBound = 1U << 26;
  Device& device = device_.device();
  Encoder kernels = device.encoder();
  QUIRE_TRY(record({kernels, device_.variants()}));
  QUIRE_ASSIGN(PersistentPlan plan, plan_persistent_program(kernels.commands(), device_.variants().lanes));
  QUIRE_ASSIGN(program_, create_persistent_program(device, std::move(plan), encoder));
  QUIRE_ASSIGN(progress_, device.create_buffer(program_.progress_bytes(), BufferUse::device, "conformance progress"));
  QUIRE_TRY(encoder.fill(progress_.slice(), 0));
  std::vector<Access> accesses;
  for (uint32_t a = 0; a < kArenaCount; ++a)
    if (!arenas_[a].image.empty()) accesses.push_back({device_.arena(a).slice(), AccessMode::read_write});
  return record_persistent_step({encoder, device_.variants()}, program_, {progress_.slice(), device_.persistent_workers(), kSpinBound}, accesses, {});
}

std::span<const std::byte> CaseMemory::after(const Region& region) const {
  return std::span(arenas_[region.arena].result).subspan(region.offset_bytes, region.size_bytes);
}

std::string CaseMemory::unexpected_writes() const {
  for (uint32_t a = 0; a < kArenaCount; ++a) {
    const Arena& arena = arenas_[a];
    uint64_t begin = 0;
    const auto unchanged_to = [&](uint64_t end) {
      const std::string difference =
          differing_bytes(std::span(arena.image).subspan(begin, end - begin), std::span(arena.result).subspan(begin, end - begin));
      return difference.empty() ? difference
                                : "Written outside the results, in arena " + std::to_string(a) + " from byte " + std::to_string(begin) + " on: " + difference;
    };
    for (const Region& output : arena.outputs) {  // in order of offset
      if (std::string difference = unchanged_to(output.offset_bytes); !difference.empty()) return difference;
      begin = output.offset_bytes + output.size_bytes;
    }
    if (std::string difference = unchanged_to(arena.image.size()); !difference.empty()) return difference;
  }
  return {};
}

}  // namespace quire::conformance
