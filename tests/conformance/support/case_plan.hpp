// Which cases of a product of dimensions this run takes, and how many each kernel got.
//
// QUIRE_CONFORMANCE  unset: addressing products whole but for some column counts, everything else pairwise, most types with the chosen variants only;
//                    `full`: every product whole (see whole_dimensions); `tenth`: every tenth case of the normal run
// QUIRE_SHARD        i/n with 0 <= i < n: only cases whose number modulo n is i, so that a long run can be done in parts
// QUIRE_TYPES        i/n likewise: only weight types, and mixtures of them, whose number modulo n is i
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/device/kernel_manifest.hpp"

namespace quire::conformance {

enum class Extent : uint8_t { tenth, normal, full };
Extent extent();

/// A case: for each dimension, which of its values.
using Choice = std::vector<uint32_t>;

/// Every combination; the last dimension varies fastest.
std::vector<Choice> whole_product(std::span<const uint32_t> sizes);
/// A small set of cases in which every two values of two dimensions meet at least once. The same for the same sizes.
std::vector<Choice> pairwise(std::span<const uint32_t> sizes);

/// The whole product of the first `whole_dimensions` dimensions; each of its cases takes the other dimensions from a set that is pairwise in them,
/// picked by a hash of its number.
std::vector<Choice> whole_product_of_first(std::span<const uint32_t> sizes, size_t whole_dimensions);

enum class Coverage : uint8_t { product, pairs };
/// Calls `run` for the cases of this run, in a fixed order. `whole_dimensions`: what the full extent of a pairwise test multiplies out (all by
/// default; millions of cases would follow from some).
void for_each_case(Coverage coverage, std::span<const uint32_t> sizes, const std::function<void(const Choice&)>& run,
                   size_t whole_dimensions = ~size_t{0});

/// The weight types, and lists of some that a matrix is made of, of this run.
std::vector<WeightType> types_of_run(std::span<const WeightType> types);
std::vector<std::vector<WeightType>> types_of_run(std::span<const std::vector<WeightType>> lists);
/// Every weight type of this run.
std::vector<WeightType> types_of_run();

/// Pairwise cases, but in the full extent, of several variant sets (dimension 0, the chosen one first) and weight types (dimension `types`). Every type has
/// pipelines of its own, and the driver takes long to compile them: only the chosen set meets all types in a normal run, the others three each.
void for_each_case_of_variants(std::span<const uint32_t> sizes, size_t types, const std::function<void(const Choice&)>& run, size_t whole_dimensions);
/// How many of `all` column counts, the rarer ones last, this run takes: all in the full extent, else the first `normal`. They too are compiled one by one.
uint32_t column_counts_of_run(uint32_t normal, uint32_t all);

void count_case(KernelId kernel);
uint64_t counted_cases(KernelId kernel);

}  // namespace quire::conformance
