// rope_page_write against the reference: whole slabs are compared byte for byte.
#include <cmath>
#include <doctest/doctest.h>
#include <iterator>
#include <limits>

#include "tests/conformance/support/attention_case.hpp"
#include "tests/conformance/support/columns.hpp"
#include "tests/conformance/support/outcome.hpp"
#include "tests/conformance/support/paged_memory.hpp"

namespace quire::conformance {
namespace {

struct WriteCase {
  PagedPlan plan;
  uint32_t layer = 1;
  uint32_t q_heads = 4;
  uint32_t rope_dim = 64;
  RopeOrder order = RopeOrder::normal;
  uint32_t column_tile = 1;
  std::vector<ColumnInfo> columns;
  std::vector<float> qkv;
  std::vector<float> rope;
  uint32_t q_rows() const { return q_heads * plan.page.k_dim; }
  uint32_t k_rows() const { return plan.page.kv_heads * plan.page.k_dim; }
  uint32_t qkv_rows() const { return q_rows() + k_rows() + plan.page.kv_heads * plan.page.v_dim; }
};

struct WriteOutcome {
  std::string failure;
  std::vector<float> q;
  std::vector<std::byte> slabs[2];
};

WriteOutcome run_write(TestDevice& device, const WriteCase& c) {
  CaseMemory memory(device);
  PagedMemory pages(memory, c.plan, RegionUse::output);
  const auto column_count = static_cast<uint32_t>(c.columns.size());
  const Region columns = memory.add(bytes_of(c.columns));
  const Region qkv = memory.add(bytes_of(c.qkv));
  const Region rope = memory.add(bytes_of(c.rope));
  const Region q = memory.add_output(Activation::bytes(c.q_rows(), column_count));
  memory.place();
  pages.connect();
  WriteOutcome outcome;
  outcome.failure = memory.run([&](Recorder r) {
    const std::vector<BufferSlice> reachable = pages.reachable();
    return record_rope_page_write(r, {memory.slice(qkv), c.qkv_rows(), column_count, c.column_tile}, memory.slice(rope), c.rope_dim, c.order,
                                  {c.plan.page, c.layer, c.q_heads, 0, 1.0f}, {memory.slice(columns), pages.sequences(), reachable},
                                  {memory.slice(q), c.q_rows(), column_count, c.column_tile});
  });
  if (!outcome.failure.empty()) return outcome;
  const auto values = elements_of<float>(memory.after(q));
  outcome.q.assign(values.begin(), values.end());
  for (uint32_t s = 0; s < 2; ++s) {
    const auto bytes = memory.after(pages.slab(s));
    outcome.slabs[s].assign(bytes.begin(), bytes.end());
  }
  return outcome;
}

/// V and the elements of K that do not turn take any float: ordinary ones, ties of f16 rounding, denormal halves, values beyond the largest half.
float any_float(Random& random) {
  switch (random.below(8)) {
    case 0: return random.grid(4, 0x1p-11f);            // ties between two halves
    case 1: return random.uniform(-6.2e-5f, 6.2e-5f);   // denormal halves
    case 2: return random.grid(0x1p-20f, 0x1p-25f);     // ties between denormal halves, and zero
    case 3: return random.uniform(-1.4e5f, 1.4e5f);     // some are beyond f16 and become its largest
    default: return random.uniform(-4, 4);
  }
}

/// What a q8 group's elements have in common.
enum class GroupKind : uint8_t { any, zero, code_ties, scale_tie, tiny, huge, infinite, nan };
constexpr uint32_t kGroupKindCount = 8;

/// 127 times the middle between the half `scale` and the next one, or one of its two neighbours.
float scale_tie(float scale, Random& random) {
  const float tie = 127 * (scale + 0x1p-18f);
  const uint32_t side = random.below(3);
  return side == 0 ? tie : std::nextafter(tie, side == 1 ? 0.0f : 1e9f);
}

/// Element `index` of a group of K or V that does not turn; `scale` is a half in [2^-7, 2^-6).
float group_float(GroupKind kind, uint32_t index, float scale, Random& random) {
  switch (kind) {
    case GroupKind::any: break;
    case GroupKind::zero: return random.below(2) == 0 ? 0.0f : -0.0f;
    // The scale is `scale` exactly, and every other element half way between two codes.
    case GroupKind::code_ties: return index == 0 ? 127 * scale : (random.grid(126, 1) + 0.5f) * scale;
    case GroupKind::scale_tie: return index == 0 ? -scale_tie(scale, random) : random.uniform(-1, 1);
    case GroupKind::tiny: return random.uniform(-2e-5f, 2e-5f) * (random.below(4) == 0 ? 1.0f : 0.1f);  // denormal scales, and none
    case GroupKind::huge: return random.uniform(-1e30f, 1e30f);
    case GroupKind::infinite: return index % 16 == 3 ? -INFINITY : random.uniform(-1e6f, 1e6f);
    case GroupKind::nan: return index == 5 ? std::numeric_limits<float>::quiet_NaN() : random.uniform(-4, 4);
  }
  return any_float(random);
}

// Turned elements are multiples of 1/256 with 12 bits and angles' cosines and sines (inputs of the kernel) multiples of 1/256 with 9: products and
// their sum are exact in a float with and without fma, so that the only rounding left is the page format's.
void fill_inputs(WriteCase& c, Random& random) {
  const uint32_t turned = c.q_rows() + c.k_rows();
  c.qkv.assign(c.columns.size() * c.qkv_rows(), kPoisonFloat);
  c.rope.assign(c.columns.size() * c.rope_dim, kPoisonFloat);
  for (uint32_t n = 0; n < c.columns.size(); ++n) {
    if (c.columns[n].sequence == PADDING_COLUMN) continue;
    GroupKind kind = GroupKind::any;
    float scale = 0;
    for (uint32_t row = 0; row < c.qkv_rows(); ++row) {
      const uint32_t element = row < turned ? row % c.plan.page.k_dim : (row - turned) % c.plan.page.v_dim;
      if (element % PAGE_GROUP == 0) {
        kind = static_cast<GroupKind>(row < c.q_rows() ? 0 : random.below(kGroupKindCount));
        scale = static_cast<float>(1024 + random.below(1024)) * 0x1p-17f;
      }
      const bool turns = row < turned && element < c.rope_dim;
      c.qkv[activation_index(row, n, c.qkv_rows(), c.column_tile)] = turns ? random.grid(8, 0x1p-8f) : group_float(kind, element % PAGE_GROUP, scale, random);
    }
    for (uint32_t i = 0; i < c.rope_dim; ++i) c.rope[n * c.rope_dim + i] = random.grid(1, 0x1p-8f);
  }
}

/// Turned elements, pages and all that must stay as it was: compared exactly.
void compare_write(const WriteCase& c) {
  count_case(KernelId::rope_page_write);
  const WriteOutcome expected = run_write(test_devices().reference, c);
  REQUIRE_MESSAGE(expected.failure.empty(), "reference: ", expected.failure);
  const WriteOutcome actual = run_write(test_devices().vulkan, c);
  REQUIRE_MESSAGE(actual.failure.empty(), "vulkan: ", actual.failure);
  const std::string q = differing_floats(expected.q, actual.q, exactly);
  CHECK_MESSAGE(q.empty(), "q: ", q);
  for (uint32_t s = 0; s < 2; ++s) {
    const std::string slab = differing_bytes(expected.slabs[s], actual.slabs[s]);
    CHECK_MESSAGE(slab.empty(), "slab ", s, ": ", slab);
  }
}

void make_batch(WriteCase& c, uint32_t history, uint32_t count, bool several) {
  std::vector<ColumnRun> runs = {{PagedMemory::sequence_index(0), history, count}};
  c.plan.sequences = {{history + count, 0}};
  if (several) {
    runs.push_back({PagedMemory::sequence_index(1), 3, 2});
    runs.push_back({PagedMemory::sequence_index(2), c.plan.page.tokens - 1, 3});
    c.plan.sequences.push_back({5, 0});
    c.plan.sequences.push_back({c.plan.page.tokens + 2, 0});
  }
  c.columns = make_columns(runs, c.column_tile);
  if (c.column_tile == 1) c.columns.insert(c.columns.begin() + 1, kPaddingColumn);
}

TEST_CASE("rope_page_write: every length at a page's end, page table and page format, in both families") {
  for_each_case(Coverage::product, std::vector<uint32_t>{kHistoryCount, kArrangementCount, kFormatMixCount, 2}, [](const Choice& choice) {
    WriteCase c;
    c.plan.page = {2, 2, 64, 64, 16};
    c.plan.arrangement = static_cast<Arrangement>(choice[1]);
    c.plan.formats = static_cast<FormatMix>(choice[2]);
    c.plan.seed = 0x9a6e5 + choice[0];
    c.column_tile = choice[3] == 0 ? 1 : test_devices().chosen.many_column_tile;
    make_batch(c, history_slots(choice[0], 16), 5, true);
    Random random(c.plan.seed);
    fill_inputs(c, random);
    CAPTURE(c.plan.seed);
    CAPTURE(history_slots(choice[0], 16));
    CAPTURE(arrangement_name(c.plan.arrangement));
    CAPTURE(format_mix_name(c.plan.formats));
    CAPTURE(c.column_tile);
    compare_write(c);
  });
}

TEST_CASE("rope_page_write: head counts, head sizes, page sizes, both RoPE orders, partial RoPE, batches") {
  constexpr uint32_t kCounts[] = {1, 2, 17};
  const std::vector<uint32_t> sizes = {std::size(kHeadCounts), std::size(kHeadDims), kHistoryCount, kArrangementCount, kFormatMixCount,
                                       std::size(kPageTokens), 2 /* family */, 2 /* order */,  3 /* rope_dim */,  std::size(kCounts),
                                       2 /* several sequences */};
  for_each_case(Coverage::pairs, sizes, [&](const Choice& choice) {
    WriteCase c;
    const HeadCounts heads = kHeadCounts[choice[0]];
    const HeadDims dims = kHeadDims[choice[1]];
    c.q_heads = heads.q;
    c.plan.page = {3, heads.kv, dims.k, dims.v, kPageTokens[choice[5]]};
    c.layer = choice[2] % 3;
    c.plan.arrangement = static_cast<Arrangement>(choice[3]);
    c.plan.formats = static_cast<FormatMix>(choice[4]);
    c.plan.seed = 0x40be + choice[1] * 10 + choice[2];
    c.column_tile = choice[6] == 0 ? 1 : test_devices().chosen.many_column_tile;
    c.order = choice[7] == 0 ? RopeOrder::normal : RopeOrder::neox;
    const uint32_t rope_dims[] = {dims.k, dims.k / 2, 2};
    c.rope_dim = rope_dims[choice[8]];
    make_batch(c, history_slots(choice[2], c.plan.page.tokens), kCounts[choice[9]], choice[10] == 1);
    Random random(c.plan.seed);
    fill_inputs(c, random);
    CAPTURE(c.plan.seed);
    CAPTURE(heads.q);
    CAPTURE(heads.kv);
    CAPTURE(dims.k);
    CAPTURE(dims.v);
    CAPTURE(c.layer);
    CAPTURE(c.plan.page.tokens);
    CAPTURE(history_slots(choice[2], c.plan.page.tokens));
    CAPTURE(arrangement_name(c.plan.arrangement));
    CAPTURE(format_mix_name(c.plan.formats));
    CAPTURE(c.column_tile);
    CAPTURE(choice[7]);
    CAPTURE(c.rope_dim);
    CAPTURE(kCounts[choice[9]]);
    compare_write(c);
  }, 6);
}

}  // namespace
}  // namespace quire::conformance
