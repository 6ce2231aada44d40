// Random models of every weight type, shape, family, RoPE scaling and window, on Vulkan, against the reference backend in double precision and
// against what an independent engine answers on the same weights expanded to F32. random_models.json lists them; README.md says how it was made.
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/golden/golden_support.hpp"

namespace quire::golden {
namespace {

const std::filesystem::path kFolder = QUIRE_RANDOM_MODELS_DIR;
const std::filesystem::path kTable = std::filesystem::path(QUIRE_SOURCE_DIR) / "tests/golden";

/// One line of random_models.json.
struct Row {
  std::string name, group, golden;
  uint32_t prompt = 0;      ///< tokens through the prompt kernels
  uint32_t decode = 0;      ///< tokens after them, through the one-token kernels
  uint32_t positions = 0;   ///< last tokens whose logits are compared; more than `decode`
  uint32_t stride = 1;      ///< the golden has every stride-th logit, after the logarithm of the sum of all exponentials if this is not 1
  double kl = 0;            ///< largest mean KL divergence
  double logit = 0;         ///< largest difference of a logit
};

std::vector<Row> rows_of(const char* group) {
  std::ifstream in(kTable / "random_models.json");
  std::vector<Row> rows;
  for (const auto& row : nlohmann::json::parse(in)) {
    if (row["group"] != group) continue;
    rows.push_back({row["name"], row["group"], row["golden"], row["prompt"], row["decode"], row["positions"], row.value("stride", 1U), row["kl"], row["logit"]});
  }
  return rows;
}

/// The same pseudo-random ids as random_models.py asks the independent engine about.
std::vector<uint32_t> made_up_ids(uint32_t vocabulary, uint32_t count) {
  std::vector<uint32_t> ids(count);
  uint32_t state = 99;
  for (uint32_t& id : ids) {
    state = state * 1664525U + 1013904223U;
    id = (state >> 8) % vocabulary;
  }
  return ids;
}

/// Logits of the last row.positions tokens.
std::vector<float> answers(Device& device, const Row& row, uint32_t& vocabulary) {
  std::shared_ptr<ByteSource> file = require_ok(FileSource::open((kFolder / (row.name + ".gguf")).string()));
  const auto model = require_ok(Model::open(device, std::move(file), {.slab_bytes = 1 << 20, .page_fill = PageFill::poison}));
  vocabulary = model->hyperparameters().vocabulary_size;
  const auto session = require_ok(Session::create(*model, {.formats = {PageFormat::f32, PageFormat::f32}}));
  const std::vector<uint32_t> ids = made_up_ids(vocabulary, row.prompt + row.decode);
  std::vector<float> all = logits_of(*session, std::span(ids).first(row.prompt), Phase::prompt, row.positions - row.decode);
  const std::vector<float> decoded = logits_of(*session, std::span(ids).last(row.decode), Phase::generated, row.decode);
  all.insert(all.end(), decoded.begin(), decoded.end());
  return all;
}

struct Difference {
  double mean_kl = 0;
  double largest_logit = 0;
};

Difference compare(std::span<const float> golden, std::span<const float> ours, uint32_t vocabulary) {
  REQUIRE(golden.size() == ours.size());
  Difference difference;
  const size_t positions = ours.size() / vocabulary;
  for (size_t p = 0; p < positions; ++p)
    difference.mean_kl += kl_divergence(golden.subspan(p * vocabulary, vocabulary), ours.subspan(p * vocabulary, vocabulary)) / static_cast<double>(positions);
  for (size_t i = 0; i < ours.size(); ++i) difference.largest_logit = std::max(difference.largest_logit, std::abs(double{ours[i]} - golden[i]));
  return difference;
}

/// What a golden keeps of the logits of a large vocabulary.
std::vector<float> thinned(std::span<const float> logits, uint32_t vocabulary, uint32_t stride) {
  std::vector<float> kept;
  for (size_t begin = 0; begin < logits.size(); begin += vocabulary) {
    kept.push_back(static_cast<float>(log_sum_exp(logits.subspan(begin, vocabulary))));
    for (size_t i = 0; i < vocabulary; i += stride) kept.push_back(logits[begin + i]);
  }
  return kept;
}

double standard_deviation(std::span<const float> values) {
  double sum = 0, squares = 0;
  for (const float value : values) {
    sum += value;
    squares += double{value} * value;
  }
  const auto count = static_cast<double>(values.size());
  return std::sqrt(squares / count - sum / count * sum / count);
}

void check_within(const Row& row, const std::string& against, const Difference& difference) {
  std::printf("  %s: mean KL %.3g, largest logit difference %.3g\n", against.c_str(), difference.mean_kl, difference.largest_logit);
  INFO(row.name, " against ", against);
  CHECK(difference.mean_kl <= row.kl);
  CHECK(difference.largest_logit <= row.logit);
}

void check_against_golden(const Row& row, const std::string& whose, std::span<const float> logits, uint32_t vocabulary) {
  if (row.golden == "none") return;
  const std::vector<float> golden = read_floats(kTable / "random_logits" / (row.name + ".f32"));
  if (row.stride == 1) return check_within(row, whose, compare(golden, logits, vocabulary));
  const std::vector<float> kept = thinned(logits, vocabulary, row.stride);
  check_within(row, whose, {0, compare(golden, kept, static_cast<uint32_t>(kept.size())).largest_logit});
}

void check_group(const char* group) {
  test::VulkanFixture vulkan;
  DeviceOptions reference_options;
  reference_options.backend = BackendKind::reference;
  Device reference = require_ok(Device::open(reference_options));
  const std::vector<Row> rows = rows_of(group);
  CHECK_FALSE(rows.empty());
  for (const Row& row : rows) {
    INFO(row.name);
    REQUIRE_MESSAGE(std::filesystem::exists(kFolder / (row.name + ".gguf")), "run `tests/golden/random_models.py make ", kFolder.string(), "` first, or ctest");
    uint32_t vocabulary = 0;
    const std::vector<float> ours = answers(vulkan.device(), row, vocabulary), oracle = answers(reference, row, vocabulary);
    std::printf("%s\n", row.name.c_str());
    // Logits that hardly deviate would hide errors, and so would those that name one token for certain.
    const double deviation = standard_deviation(std::span(oracle).last(vocabulary));
    CHECK(deviation >= 2);
    CHECK(deviation <= 5);
    check_within(row, "vulkan from reference", compare(oracle, ours, vocabulary));
    check_against_golden(row, "vulkan from golden", ours, vocabulary);
    check_against_golden(row, "reference from golden", oracle, vocabulary);
  }
}

TEST_CASE("random models: every weight type, and all types mixed in one file, agree with reference and golden") { check_group("types"); }
TEST_CASE("random models: head sizes, head counts, 40 layers, feed-forward and vocabulary sizes agree with reference and golden") { check_group("shapes"); }
TEST_CASE("random models: every family agrees with reference and golden") { check_group("families"); }
TEST_CASE("random models: scaled RoPE agrees with reference and golden") { check_group("rope"); }
TEST_CASE("random models: windows shorter than the prompt agree with reference and golden") { check_group("windows"); }

}  // namespace
}  // namespace quire::golden
