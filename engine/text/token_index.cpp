#include "engine/text/token_index.hpp"

#include <algorithm>

namespace quire {
namespace {

uint64_t prefix_of(std::string_view text) {
  uint64_t prefix = 0;
  for (size_t i = 0; i < 8; ++i) prefix = prefix << 8 | (i < text.size() ? static_cast<uint8_t>(text[i]) : 0u);
  return prefix;
}

}  // namespace

void TokenIndex::add(std::string_view text, uint32_t id) {
  entries_.push_back({prefix_of(text), texts_.size(), static_cast<uint32_t>(text.size()), id});
  texts_ += text;
}

std::optional<uint32_t> TokenIndex::build() {
  std::sort(entries_.begin(), entries_.end(), [this](const Entry& a, const Entry& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    const int order = text_of(a).compare(text_of(b));
    return order != 0 ? order < 0 : a.id < b.id;
  });
  const auto same = [this](const Entry& a, const Entry& b) { return a.prefix == b.prefix && text_of(a) == text_of(b); };
  const auto twice = std::adjacent_find(entries_.begin(), entries_.end(), same);
  if (twice == entries_.end()) return std::nullopt;
  const uint32_t dropped = std::next(twice)->id;
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  return dropped;
}

std::optional<uint32_t> TokenIndex::find(std::string_view text) const {
  const uint64_t prefix = prefix_of(text);
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), text, [&](const Entry& entry, std::string_view wanted) {
    return entry.prefix != prefix ? entry.prefix < prefix : text_of(entry) < wanted;
  });
  if (found == entries_.end() || text_of(*found) != text) return std::nullopt;
  return found->id;
}

}  // namespace quire
