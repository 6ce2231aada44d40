#include "tests/unit/cache/cache_model.hpp"

#include <algorithm>

namespace quire::test {
namespace {

std::string text(const char* what, uint64_t number, uint64_t expected) {
  return std::string(what) + ": " + std::to_string(number) + ", the model has " + std::to_string(expected);
}

uint32_t pages_for(uint32_t length) { return (length + kModelPageTokens - 1) / kModelPageTokens; }

uint64_t element_bytes(PageFormat format) { return format == PageFormat::f16 ? 2 : 4; }

}  // namespace

CacheGroup ModelGroup::description() const {
  CacheGroup group;
  for (uint32_t i = 0; i < layers; ++i) group.layers.push_back(i);
  group.kv_heads = kv_heads;
  group.k_dim = k_dim;
  group.v_dim = v_dim;
  group.window = window;
  group.tokens_per_page = kModelPageTokens;
  return group;
}

uint64_t ModelGroup::page_bytes(PageFormats formats) const {
  return uint64_t{layers} * kv_heads * kModelPageTokens * (k_dim * element_bytes(formats.k) + v_dim * element_bytes(formats.v));
}

ModelSequence CacheModel::create(SeqId id, const std::vector<PageFormats>& formats) const {
  ModelSequence sequence;
  sequence.id = id;
  sequence.formats = formats;
  sequence.tables.resize(groups_.size());
  sequence.originals.resize(groups_.size());
  return sequence;
}

bool CacheModel::out_of_window(size_t g, uint32_t logical, uint32_t length) const {
  // The next query is in slot `length`; it sees a slot if fewer than `window` slots lie from there up to itself.
  const uint32_t last_slot = logical * kModelPageTokens + kModelPageTokens - 1;
  return groups_[g].window != 0 && last_slot + groups_[g].window <= length;
}

bool CacheModel::copies_last_page(const ModelSequence& sequence, size_t g, uint32_t count) const {
  if (count == 0 || sequence.length() % kModelPageTokens == 0) return false;
  return held_.at(sequence.tables[g].back().address).holders > 1;
}

uint32_t CacheModel::pages_needed(const ModelSequence& sequence, size_t g, uint32_t count) const {
  return pages_for(sequence.length() + count) - pages_for(sequence.length()) + (copies_last_page(sequence, g, count) ? 1 : 0);
}

bool CacheModel::can_keep(const ModelSequence& sequence, uint32_t length) const {
  if (length > sequence.length()) return false;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (uint32_t i = 0; i < pages_for(length); ++i) {
      if (sequence.tables[g][i].address == 0 && !out_of_window(g, i, length)) return false;
    }
  }
  return true;
}

void CacheModel::hold(const ModelPage& page, size_t g) {
  if (page.address == 0) return;
  Held& held = held_[page.address];
  ++held.holders;
  held.group = g;
  held.bytes = groups_[g].page_bytes(page.formats);
}

void CacheModel::release(ModelPage& page, uint64_t value) {
  if (page.address == 0) return;
  const auto it = held_.find(page.address);
  it->second.value = std::max(it->second.value, value);
  if (--it->second.holders == 0) {
    if (it->second.value > completed_) retired_.insert(*it);
    held_.erase(it);
  }
  page = {};
}

std::string CacheModel::take(const TablePage& actual, size_t g, PageFormats formats, ModelPage& page) {
  if (actual.page == PageId::none || actual.address == 0) return "a reserved page is missing";
  if (!(actual.formats == formats)) return "a reserved page has other formats than asked for";
  page = {actual.address, formats};
  const uint64_t end = actual.address + groups_[g].page_bytes(formats);
  for (const auto* pages : {&held_, &retired_}) {
    // Pages do not overlap, so only the last one that begins before `end` can reach into the new page.
    auto it = pages->lower_bound(end);
    if (it == pages->begin()) continue;
    --it;
    if (it->first + it->second.bytes > actual.address) {
      return pages == &held_ ? "a page that is in use was handed out" : "a retired page was handed out before its timeline value";
    }
  }
  hold(page, g);
  return {};
}

std::string CacheModel::reserved(ModelSequence& sequence, uint32_t count, const KvCache& cache) {
  const uint32_t old_pages = pages_for(sequence.length());
  const uint32_t new_pages = pages_for(sequence.length() + count);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const std::span<const TablePage> actual = cache.pages(sequence.id, static_cast<uint32_t>(g));
    if (actual.size() != new_pages) return text("entries after reserve", actual.size(), new_pages);
    if (copies_last_page(sequence, g, count)) {
      ModelPage copy;
      if (std::string error = take(actual[old_pages - 1], g, sequence.tables[g].back().formats, copy); !error.empty()) return error;
      sequence.originals[g] = sequence.tables[g].back();
      sequence.tables[g].back() = copy;
    }
    for (uint32_t i = old_pages; i < new_pages; ++i) {
      ModelPage page;
      if (std::string error = take(actual[i], g, sequence.formats[g], page); !error.empty()) return error;
      sequence.tables[g].push_back(page);
    }
  }
  sequence.reserved = count;
  sequence.reserving = true;
  return {};
}

void CacheModel::commit(ModelSequence& sequence, const std::vector<uint32_t>& tokens, uint64_t value) {
  sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
  for (size_t g = 0; g < groups_.size(); ++g) {
    std::vector<ModelPage>& table = sequence.tables[g];
    if (sequence.originals[g]) release(*sequence.originals[g], value);
    sequence.originals[g].reset();
    for (uint32_t i = 0; i < table.size(); ++i) {
      if (i >= pages_for(sequence.length()) || out_of_window(g, i, sequence.length())) release(table[i], value);
    }
    table.resize(pages_for(sequence.length()));
  }
  sequence.reserved = 0;
  sequence.reserving = false;
}

void CacheModel::cancel(ModelSequence& sequence, uint64_t value) {
  const uint32_t kept = pages_for(sequence.length());
  for (size_t g = 0; g < groups_.size(); ++g) {
    std::vector<ModelPage>& table = sequence.tables[g];
    for (uint32_t i = kept; i < table.size(); ++i) release(table[i], value);
    table.resize(kept);
    if (sequence.originals[g]) {
      release(table.back(), value);
      table.back() = *sequence.originals[g];
      sequence.originals[g].reset();
    }
  }
  sequence.reserved = 0;
  sequence.reserving = false;
}

void CacheModel::truncate(ModelSequence& sequence, uint32_t length, uint64_t value) {
  sequence.tokens.resize(length);
  for (std::vector<ModelPage>& table : sequence.tables) {
    for (uint32_t i = pages_for(length); i < table.size(); ++i) release(table[i], value);
    table.resize(pages_for(length));
  }
}

ModelSequence CacheModel::fork(const ModelSequence& parent, SeqId id, uint32_t length) {
  ModelSequence child = create(id, parent.formats);
  child.tokens.assign(parent.tokens.begin(), parent.tokens.begin() + length);
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (uint32_t i = 0; i < pages_for(length); ++i) {
      child.tables[g].push_back(out_of_window(g, i, length) ? ModelPage{} : parent.tables[g][i]);
      hold(child.tables[g].back(), g);
    }
  }
  return child;
}

void CacheModel::free(ModelSequence& sequence, uint64_t value) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (ModelPage& page : sequence.tables[g]) release(page, value);
    if (sequence.originals[g]) release(*sequence.originals[g], value);
  }
}

void CacheModel::collect(uint64_t completed) {
  completed_ = std::max(completed_, completed);
  std::erase_if(retired_, [this](const auto& entry) { return entry.second.value <= completed_; });
}

uint32_t* CacheModel::slot(const ModelPage& page, size_t g, uint32_t index) const {
  // The first bytes of head 0 of layer 0 of K: rows have at least 16 bytes in every format.
  const uint64_t row = groups_[g].k_dim * element_bytes(page.formats.k);
  return reinterpret_cast<uint32_t*>(page.address + index * row);
}

void CacheModel::write(const ModelSequence& sequence, const std::vector<uint32_t>& tokens) const {
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (uint32_t i = 0; i < tokens.size(); ++i) {
      const uint32_t at = sequence.length() + i;
      *slot(sequence.tables[g][at / kModelPageTokens], g, at % kModelPageTokens) = tokens[i];
    }
  }
}

uint32_t CacheModel::held_pages(const ModelSequence& sequence, size_t g) const {
  return static_cast<uint32_t>(std::count_if(sequence.tables[g].begin(), sequence.tables[g].end(), [](const ModelPage& p) { return p.address != 0; }));
}

std::string CacheModel::compare(const ModelSequence& sequence, const KvCache& cache) const {
  if (cache.length(sequence.id) != sequence.length()) return text("length", cache.length(sequence.id), sequence.length());
  for (size_t g = 0; g < groups_.size(); ++g) {
    const std::span<const TablePage> actual = cache.pages(sequence.id, static_cast<uint32_t>(g));
    const std::vector<ModelPage>& table = sequence.tables[g];
    if (actual.size() != table.size()) return text("table entries", actual.size(), table.size());
    for (uint32_t i = 0; i < table.size(); ++i) {
      if (actual[i].address != table[i].address) return text("page address", actual[i].address, table[i].address);
      if (actual[i].address != 0 && !(actual[i].formats == table[i].formats)) return "page formats differ";
    }
    const uint32_t window = groups_[g].window;
    for (uint32_t s = 0; s < sequence.length(); ++s) {
      if (window != 0 && s + window <= sequence.length()) continue;
      const uint32_t found = *slot(table[s / kModelPageTokens], g, s % kModelPageTokens);
      if (found != sequence.tokens[s]) return text("token read from a page", found, sequence.tokens[s]);
    }
  }
  return {};
}

std::string CacheModel::compare_memory(const KvCache& cache) const {
  const CacheMemory memory = cache.memory();
  uint64_t in_use_bytes = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    uint32_t in_use = 0;
    uint32_t retired = 0;
    for (const auto& [address, held] : held_) {
      in_use += held.group == g ? 1u : 0u;
      in_use_bytes += held.group == g ? held.bytes : 0;
    }
    for (const auto& [address, held] : retired_) retired += held.group == g ? 1u : 0u;
    const PoolMemory& pages = memory.groups[g].pages;
    if (pages.pages_in_use != in_use) return text("pages in use", pages.pages_in_use, in_use);
    if (pages.pages_retired != retired) return text("pages retired", pages.pages_retired, retired);
    if (in_use + retired == 0 && pages.slab_bytes != 0) return "a group without pages keeps slabs";
  }
  if (memory.in_use_bytes != in_use_bytes) return text("bytes in use", memory.in_use_bytes, in_use_bytes);
  return {};
}

}  // namespace quire::test
