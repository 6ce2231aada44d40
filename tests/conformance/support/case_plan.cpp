#include "tests/conformance/support/case_plan.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/conformance/support/values.hpp"

namespace quire::conformance {
namespace {

struct Shard {
  uint64_t index = 0;
  uint64_t count = 1;
};

Shard shard(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text) return {};
  unsigned long long index = 0;
  unsigned long long count = 0;
  if (std::sscanf(text, "%llu/%llu", &index, &count) == 2 && index < count) return {index, count};
  std::fprintf(stderr, "%s is \"%s\"; it must be i/n with i < n.\n", variable, text);
  std::exit(2);
}

std::array<uint64_t, kKernelCount>& tally() {
  static std::array<uint64_t, kKernelCount> counts{};
  return counts;
}

/// Which pairs (value a of dimension i, value b of dimension j), i < j, no case holds yet.
class UncoveredPairs {
 public:
  explicit UncoveredPairs(std::span<const uint32_t> sizes) : sizes_(sizes) {
    for (uint32_t size : sizes) {
      first_value_.push_back(value_count_);
      value_count_ += size;
    }
    open_.assign(uint64_t{value_count_} * value_count_, 0);
    for (uint32_t i = 0; i < sizes.size(); ++i)
      for (uint32_t j = i + 1; j < sizes.size(); ++j)
        for (uint32_t a = 0; a < sizes[i]; ++a)
          for (uint32_t b = 0; b < sizes[j]; ++b) {
            open_[cell(i, a, j, b)] = 1;
            ++remaining_;
          }
  }

  uint64_t remaining() const { return remaining_; }

  bool open(uint32_t i, uint32_t a, uint32_t j, uint32_t b) const { return open_[i < j ? cell(i, a, j, b) : cell(j, b, i, a)] != 0; }

  void cover(const Choice& choice) {
    for (uint32_t i = 0; i < sizes_.size(); ++i)
      for (uint32_t j = i + 1; j < sizes_.size(); ++j) {
        uint8_t& pair = open_[cell(i, choice[i], j, choice[j])];
        remaining_ -= pair;
        pair = 0;
      }
  }

  /// Starts a case with the first open pair; the other dimensions are kUnset. Requires: remaining() > 0.
  Choice seed() const {
    Choice choice(sizes_.size(), kUnset);
    for (uint32_t i = 0; i < sizes_.size(); ++i)
      for (uint32_t j = i + 1; j < sizes_.size(); ++j)
        for (uint32_t a = 0; a < sizes_[i]; ++a)
          for (uint32_t b = 0; b < sizes_[j]; ++b)
            if (open(i, a, j, b)) {
              choice[i] = a;
              choice[j] = b;
              return choice;
            }
    return choice;
  }

  static constexpr uint32_t kUnset = ~0u;

 private:
  uint64_t cell(uint32_t i, uint32_t a, uint32_t j, uint32_t b) const {
    return uint64_t{first_value_[i] + a} * value_count_ + first_value_[j] + b;
  }
  std::span<const uint32_t> sizes_;
  std::vector<uint32_t> first_value_;
  uint32_t value_count_ = 0;
  std::vector<uint8_t> open_;
  uint64_t remaining_ = 0;
};

/// The value of dimension `i` that closes most open pairs with what is chosen already; ties go round-robin by `turn`.
uint32_t best_value(const UncoveredPairs& pairs, const Choice& choice, uint32_t i, uint32_t size, uint32_t turn) {
  uint32_t best = turn % size;
  uint32_t best_count = 0;
  for (uint32_t step = 0; step < size; ++step) {
    const uint32_t a = (turn + step) % size;
    uint32_t count = 0;
    for (uint32_t j = 0; j < choice.size(); ++j)
      if (j != i && choice[j] != UncoveredPairs::kUnset && pairs.open(i, a, j, choice[j])) ++count;
    if (count > best_count) {
      best = a;
      best_count = count;
    }
  }
  return best;
}

template <class T>
std::vector<T> share_of_types(std::span<const T> all) {
  const Shard share = shard("QUIRE_TYPES");
  std::vector<T> kept;
  for (uint64_t i = share.index; i < all.size(); i += share.count) kept.push_back(all[i]);
  return kept;
}

}  // namespace

Extent extent() {
  const char* text = std::getenv("QUIRE_CONFORMANCE");
  if (!text) return Extent::normal;
  const std::string_view value = text;
  if (value == "full") return Extent::full;
  if (value == "tenth") return Extent::tenth;
  std::fprintf(stderr, "QUIRE_CONFORMANCE is \"%s\"; it must be full or tenth.\n", text);
  std::exit(2);
}

std::vector<Choice> whole_product(std::span<const uint32_t> sizes) {
  std::vector<Choice> cases;
  Choice choice(sizes.size(), 0);
  for (;;) {
    cases.push_back(choice);
    size_t i = sizes.size();
    while (i > 0 && ++choice[i - 1] == sizes[i - 1]) choice[--i] = 0;
    if (i == 0) return cases;
  }
}

std::vector<Choice> pairwise(std::span<const uint32_t> sizes) {
  if (sizes.size() < 2) return whole_product(sizes);
  std::vector<Choice> cases;
  UncoveredPairs pairs(sizes);
  while (pairs.remaining() > 0) {
    Choice choice = pairs.seed();
    for (uint32_t i = 0; i < sizes.size(); ++i)
      if (choice[i] == UncoveredPairs::kUnset) choice[i] = best_value(pairs, choice, i, sizes[i], static_cast<uint32_t>(cases.size()));
    pairs.cover(choice);
    cases.push_back(std::move(choice));
  }
  return cases;
}

std::vector<Choice> whole_product_of_first(std::span<const uint32_t> sizes, size_t whole_dimensions) {
  if (whole_dimensions >= sizes.size()) return whole_product(sizes);
  std::vector<Choice> cases = whole_product(sizes.first(whole_dimensions));
  const std::vector<Choice> rest = pairwise(sizes.subspan(whole_dimensions));
  for (uint64_t i = 0; i < cases.size(); ++i) {
    const Choice& tail = rest[Random(i).below(static_cast<uint32_t>(rest.size()))];
    cases[i].insert(cases[i].end(), tail.begin(), tail.end());
  }
  return cases;
}

void for_each_case(Coverage coverage, std::span<const uint32_t> sizes, const std::function<void(const Choice&)>& run, size_t whole_dimensions) {
  const Extent wanted = extent();
  const Shard part = shard("QUIRE_SHARD");
  const bool whole = coverage == Coverage::product || wanted == Extent::full;
  const std::vector<Choice> cases = whole ? whole_product_of_first(sizes, whole_dimensions) : pairwise(sizes);
  // About a tenth, by a step prime to the sizes: ten would always take the same values of the last dimension.
  const uint64_t stride = wanted == Extent::tenth ? 11 : 1;
  for (uint64_t i = 0; i < cases.size(); i += stride)
    if (i / stride % part.count == part.index) run(cases[i]);
}

std::vector<WeightType> types_of_run(std::span<const WeightType> types) { return share_of_types(types); }
std::vector<std::vector<WeightType>> types_of_run(std::span<const std::vector<WeightType>> lists) { return share_of_types(lists); }
std::vector<WeightType> types_of_run() {
  std::vector<WeightType> types;
  for (const WeightTypeInfo& info : weight_types()) types.push_back(info.type);
  return types_of_run(types);
}

void for_each_case_of_variants(std::span<const uint32_t> sizes, size_t types, const std::function<void(const Choice&)>& run, size_t whole_dimensions) {
  constexpr uint32_t kOtherTypes = 3;
  const uint32_t count = sizes[types];
  if (extent() == Extent::full || count <= kOtherTypes) return for_each_case(Coverage::pairs, sizes, run, whole_dimensions);
  std::vector<uint32_t> chosen(sizes.begin(), sizes.end()), others = chosen;
  chosen[0] = 1;
  for_each_case(Coverage::pairs, chosen, run);
  others[0] -= 1;
  others[types] = kOtherTypes;
  for_each_case(Coverage::pairs, others, [&](Choice choice) {
    // Spread over the list, other ones for each set, and the last, which may be a mixture.
    const uint32_t type = choice[types];
    choice[types] = type + 1 == kOtherTypes ? count - 1 : (type * (count / kOtherTypes) + choice[0]) % count;
    ++choice[0];
    run(choice);
  });
}

uint32_t column_counts_of_run(uint32_t normal, uint32_t all) { return extent() == Extent::full ? all : normal; }

void count_case(KernelId kernel) { ++tally()[static_cast<uint32_t>(kernel)]; }
uint64_t counted_cases(KernelId kernel) { return tally()[static_cast<uint32_t>(kernel)]; }

}  // namespace quire::conformance
