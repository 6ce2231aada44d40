#include "tests/conformance/support/paged_memory.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/base/half.hpp"

namespace quire::conformance {
namespace {

constexpr uint32_t kUnrelatedPages = 3;

uint32_t formats_of(FormatMix mix, uint64_t turn) {
  constexpr uint32_t kFormats[] = {PAGE_FORMAT_F16, PAGE_FORMAT_F32, PAGE_FORMAT_Q8};
  switch (mix) {
    case FormatMix::f16: return PAGE_FORMAT_F16 | PAGE_FORMAT_F16 << 8;
    case FormatMix::f32: return PAGE_FORMAT_F32 | PAGE_FORMAT_F32 << 8;
    case FormatMix::q8: return PAGE_FORMAT_Q8 | PAGE_FORMAT_Q8 << 8;
    case FormatMix::k16_v32: return PAGE_FORMAT_F16 | PAGE_FORMAT_F32 << 8;
    case FormatMix::k32_v8: return PAGE_FORMAT_F32 | PAGE_FORMAT_Q8 << 8;
    case FormatMix::k8_v16: return PAGE_FORMAT_Q8 | PAGE_FORMAT_F16 << 8;
    case FormatMix::mixed: break;
  }
  // K's format changes at each page, V's at every third too, so that three neighbours show all formats on both sides.
  return kFormats[turn % 3] | kFormats[(turn + turn / 3) % 3] << 8;
}

void store_half(std::byte* bytes, size_t index, float value) {
  const uint16_t half = float_to_half(value);
  std::memcpy(bytes + 2 * index, &half, 2);
}

void store(std::byte* codes, std::byte* scales, uint32_t format, std::span<const float> values) {
  if (format == PAGE_FORMAT_F32) {
    std::memcpy(codes, values.data(), values.size_bytes());
    return;
  }
  if (format == PAGE_FORMAT_F16) {
    for (size_t i = 0; i < values.size(); ++i) store_half(codes, i, values[i]);
    return;
  }
  for (size_t first = 0; first < values.size(); first += PAGE_GROUP) {
    const auto group = values.subspan(first, std::min<size_t>(PAGE_GROUP, values.size() - first));
    float largest = 0;
    for (const float value : group) largest = std::max(largest, std::abs(value));
    store_half(scales, first / PAGE_GROUP, largest / 127);
    for (size_t i = 0; i < group.size(); ++i) {
      const float code = largest == 0 ? 0 : std::round(127 * group[i] / largest);
      codes[first + i] = static_cast<std::byte>(static_cast<int8_t>(code));
    }
  }
}

}  // namespace

const char* arrangement_name(Arrangement arrangement) {
  constexpr const char* kNames[] = {"identity", "reversed", "random", "two_slabs"};
  return kNames[static_cast<uint32_t>(arrangement)];
}

const char* format_mix_name(FormatMix mix) {
  constexpr const char* kNames[] = {"f16", "f32", "q8", "k16_v32", "k32_v8", "k8_v16", "mixed"};
  return kNames[static_cast<uint32_t>(mix)];
}

PagedMemory::PagedMemory(CaseMemory& memory, const PagedPlan& plan, RegionUse slab_use) : memory_(memory), plan_(plan) {
  for (const SequencePlan& sequence : plan.sequences) {
    std::vector<uint32_t>& table = tables_.emplace_back();
    const uint32_t count = (sequence.slot_count + plan.page.tokens - 1) / plan.page.tokens;
    for (uint32_t i = 0; i < count; ++i) {
      table.push_back(static_cast<uint32_t>(pages_.size()));
      pages_.push_back({formats_of(plan.formats, plan.seed + i), 0, 0});
    }
  }
  for (uint32_t i = 0; i < kUnrelatedPages; ++i) pages_.push_back({formats_of(plan.formats, plan.seed + i), 0, 0});
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

void PagedMemory::store_k(uint32_t sequence, uint32_t layer, uint32_t head, uint32_t slot, std::span<const float> values) {
  const Page& page = page_of(sequence, slot);
  const uint32_t in_page = slot % plan_.page.tokens;
  store(contents_of(page) + page_k_codes(plan_.page, page.formats, layer, head, in_page),
        contents_of(page) + page_k_scales(plan_.page, page.formats, layer, head, in_page), page_k_format(page.formats), values);
}

void PagedMemory::store_v(uint32_t sequence, uint32_t layer, uint32_t head, uint32_t slot, std::span<const float> values) {
  const Page& page = page_of(sequence, slot);
  const uint32_t in_page = slot % plan_.page.tokens;
  store(contents_of(page) + page_v_codes(plan_.page, page.formats, layer, head, in_page),
        contents_of(page) + page_v_scales(plan_.page, page.formats, layer, head, in_page), page_v_format(page.formats), values);
}

std::vector<BufferSlice> PagedMemory::reachable() const {
  std::vector<BufferSlice> slices;
  for (const Region& slab : slabs_)
    if (slab.size_bytes != 0) slices.push_back(memory_.slice(slab));
  for (const Region& table : table_regions_) slices.push_back(memory_.slice(table));
  return slices;
}

}  // namespace quire::conformance
