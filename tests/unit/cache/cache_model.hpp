// An independent model of KvCache: sequences are lists of tokens, pages are addresses with holders. It shares no arithmetic with the cache.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cache/kv_cache.hpp"

namespace quire::test {

/// What the model knows of a cache group; tokens per page is always kModelPageTokens.
struct ModelGroup {
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t k_dim = 0;
  uint32_t v_dim = 0;
  uint32_t window = 0;

  CacheGroup description() const;
  uint64_t page_bytes(PageFormats formats) const;
};
inline constexpr uint32_t kModelPageTokens = 16;

struct ModelPage {
  uint64_t address = 0;  ///< 0: none
  PageFormats formats;
};

struct ModelSequence {
  SeqId id;
  std::vector<uint32_t> tokens;
  uint32_t reserved = 0;
  bool reserving = false;
  std::vector<PageFormats> formats;
  std::vector<std::vector<ModelPage>> tables;            ///< [group][logical page]
  std::vector<std::optional<ModelPage>> originals;       ///< [group], between reserve and commit

  uint32_t length() const { return static_cast<uint32_t>(tokens.size()); }
};

/// Every member that returns a string compares the cache with the model: an empty string means that they agree.
class CacheModel {
 public:
  explicit CacheModel(std::vector<ModelGroup> groups) : groups_(std::move(groups)) {}

  ModelSequence create(SeqId id, const std::vector<PageFormats>& formats) const;
  /// Pages of group `g` that a reserve of `count` must take, a copy of a shared one included.
  uint32_t pages_needed(const ModelSequence& sequence, size_t g, uint32_t count) const;
  bool copies_last_page(const ModelSequence& sequence, size_t g, uint32_t count) const;
  bool can_keep(const ModelSequence& sequence, uint32_t length) const;

  /// After a reserve that succeeded: takes over the new pages and compares all others.
  std::string reserved(ModelSequence& sequence, uint32_t count, const KvCache& cache);
  void commit(ModelSequence& sequence, const std::vector<uint32_t>& tokens, uint64_t value);
  void cancel(ModelSequence& sequence, uint64_t value);
  void truncate(ModelSequence& sequence, uint32_t length, uint64_t value);
  ModelSequence fork(const ModelSequence& parent, SeqId id, uint32_t length);
  void free(ModelSequence& sequence, uint64_t value);
  void collect(uint64_t completed);

  /// Tables of the sequence, and the token in each slot that a query may see, as read from the pages themselves.
  std::string compare(const ModelSequence& sequence, const KvCache& cache) const;
  /// Page counts and bytes of the whole cache.
  std::string compare_memory(const KvCache& cache) const;
  /// Writes `tokens` to slots from length() on, as the kernels of a step would. Requires: reserved.
  void write(const ModelSequence& sequence, const std::vector<uint32_t>& tokens) const;
  uint32_t held_pages(const ModelSequence& sequence, size_t g) const;
  size_t retired_count() const { return retired_.size(); }

 private:
  struct Held {
    uint32_t holders = 0;
    uint64_t value = 0;
    size_t group = 0;
    uint64_t bytes = 0;
  };
  void hold(const ModelPage& page, size_t g);
  void release(ModelPage& page, uint64_t value);
  std::string take(const TablePage& actual, size_t g, PageFormats formats, ModelPage& page);
  bool out_of_window(size_t g, uint32_t logical, uint32_t length) const;
  uint32_t* slot(const ModelPage& page, size_t g, uint32_t index) const;

  std::vector<ModelGroup> groups_;
  std::map<uint64_t, Held> held_;
  std::map<uint64_t, Held> retired_;
  uint64_t completed_ = 0;
};

}  // namespace quire::test
