#include "tests/conformance/support/paged_memory.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/base/half.hpp"

namespace quire::conformance {
namespace {

constexpr uint32_t kUnrelatedPages = 3;

uint32_t formats_of(FormatMix mix, uint32_t page_index) {
  constexpr uint32_t kAll[] = {PAGE_FORMAT_F16 | PAGE_FORMAT_F16 << 8, PAGE_FORMAT_F32 | PAGE_FORMAT_F32 << 8, PAGE_FORMAT_F16 | PAGE_FORMAT_F32 << 8,
                               PAGE_FORMAT_F32 | PAGE_FORMAT_F16 << 8};
  return mix == FormatMix::mixed ? kAll[page_index % 4] : kAll[static_cast<uint32_t>(mix)];
}

void store(std::byte* row, uint32_t format, std::span<const float> values) {
  if (format == PAGE_FORMAT_F32) {
    std::memcpy(row, values.data(), values.size_bytes());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = float_to_half(values[i]);
    std::memcpy(row + 2 * i, &half, 2);
  }
}

}  // namespace

const char* arrangement_name(Arrangement arrangement) {
  constexpr const char* kNames[] = {"identity", "reversed", "random", "two_slabs"};
  return kNames[static_cast<uint32_t>(arrangement)];
}

const char* format_mix_name(FormatMix mix) {
  constexpr const char* kNames[] = {"f16", "f32", "k16_v32", "k32_v16", "mixed"};
  return kNames[static_cast<uint32_t>(mix)];
}

PagedMemory::PagedMemory(CaseMemory& memory, const PagedPlan& plan, RegionUse slab_use) : memory_(memory), plan_(plan) {
  for (const SequencePlan& sequence : plan.sequences) {
    std::vector<uint32_t>& table = tables_.emplace_back();
    const uint32_t count = (sequence.slot_count + plan.page.tokens - 1) / plan.page.tokens;
    for (uint32_t i = 0; i < count; ++i) {
      table.push_back(static_cast<uint32_t>(pages_.size()));
      pages_.push_back({formats_of(plan.formats, i), 0, 0});
    }
  }
  for (uint32_t i = 0; i < kUnrelatedPages; ++i) pages_.push_back({formats_of(plan.formats, i), 0, 0});
  std::vector<uint32_t> order(pages_.size());
  std::iota(order.begin(), order.end(), 0u);
  arrange(std::move(order));

  uint64_t slab_bytes[2] = {0, 0};
  for (const Page& page : pages_)
    slab_bytes[page.slab] = std::max(slab_bytes[page.slab], page.offset_bytes + page_bytes(plan.page, page.formats));
  for (uint32_t s = 0; s < 2; ++s) slabs_[s] = memory.add_poisoned(slab_bytes[s], slab_use, s + 1);
  for (const auto& table : tables_)
    table_regions_.push_back(memory.add_poisoned(table.size() * sizeof(PageEntry), RegionUse::input));
  sequences_ = memory.add_poisoned(sequence_index(static_cast<uint32_t>(tables_.size())) * sizeof(SequenceInfo), RegionUse::input);
}

void PagedMemory::arrange(std::vector<uint32_t> order) {
  if (plan_.arrangement == Arrangement::reversed) std::reverse(order.begin(), order.end());
  if (plan_.arrangement == Arrangement::random) {
    Random random(plan_.seed ^ 0x7ab1e);
    for (uint32_t i = static_cast<uint32_t>(order.size()); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  }
  uint64_t end[2] = {0, 0};
  for (uint32_t i = 0; i < order.size(); ++i) {
    Page& page = pages_[order[i]];
    page.slab = plan_.arrangement == Arrangement::two_slabs ? i % 2 : 0;
    page.offset_bytes = end[page.slab];
    end[page.slab] += page_bytes(plan_.page, page.formats);
  }
}

void PagedMemory::connect() {
  std::vector<SequenceInfo> infos(sequences_.size_bytes / sizeof(SequenceInfo));
  std::memcpy(infos.data(), memory_.contents(sequences_).data(), sequences_.size_bytes);
  const Page& nobody = pages_.back();
  for (uint32_t s = 0; s < tables_.size(); ++s) {
    const auto entries = memory_.contents(table_regions_[s]);
    for (uint32_t i = 0; i < tables_[s].size(); ++i) {
      const bool given_back = (i + 1) * plan_.page.tokens <= plan_.sequences[s].first_needed_slot;
      const Page& page = given_back ? nobody : pages_[tables_[s][i]];
      const PageEntry entry{memory_.address(slabs_[page.slab]) + page.offset_bytes, page.formats, 0};
      std::memcpy(entries.data() + i * sizeof(entry), &entry, sizeof(entry));
    }
    infos[sequence_index(s)] = {memory_.address(table_regions_[s]), static_cast<uint32_t>(tables_[s].size()), 0};
  }
  std::memcpy(memory_.contents(sequences_).data(), infos.data(), sequences_.size_bytes);
}

std::byte* PagedMemory::row(uint32_t sequence, uint32_t slot, uint32_t (*offset)(PageShape, uint32_t, uint32_t, uint32_t, uint32_t), uint32_t layer,
                            uint32_t head, uint32_t& formats) {
  const Page& page = pages_[tables_[sequence][slot / plan_.page.tokens]];
  formats = page.formats;
  return memory_.contents(slabs_[page.slab]).data() + page.offset_bytes + offset(plan_.page, formats, layer, head, slot % plan_.page.tokens);
}

void PagedMemory::store_k(uint32_t sequence, uint32_t layer, uint32_t head, uint32_t slot, std::span<const float> values) {
  uint32_t formats = 0;
  std::byte* place = row(sequence, slot, page_k_codes, layer, head, formats);
  store(place, page_k_format(formats), values);
}

void PagedMemory::store_v(uint32_t sequence, uint32_t layer, uint32_t head, uint32_t slot, std::span<const float> values) {
  uint32_t formats = 0;
  std::byte* place = row(sequence, slot, page_v_codes, layer, head, formats);
  store(place, page_v_format(formats), values);
}

std::vector<BufferSlice> PagedMemory::reachable() const {
  std::vector<BufferSlice> slices;
  for (const Region& slab : slabs_)
    if (slab.size_bytes != 0) slices.push_back(memory_.slice(slab));
  for (const Region& table : table_regions_) slices.push_back(memory_.slice(table));
  return slices;
}

}  // namespace quire::conformance
