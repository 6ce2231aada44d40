// The goldens' files, the model under test, and the comparisons that the goldens' README defines.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/generate/model.hpp"
#include "engine/generate/session.hpp"
#include "engine/platform/byte_source.hpp"
#include "tests/support/vulkan_fixture.hpp"

namespace quire::golden {

/// The folder that the environment names, for programs that run elsewhere than they were built; else the one known when they were.
inline std::filesystem::path folder(const char* variable, const char* built_in) {
  const char* given = std::getenv(variable);
  return given != nullptr && *given != '\0' ? given : built_in;
}
inline const std::filesystem::path kGoldens = folder("QUIRE_GOLDENS_DIR", QUIRE_GOLDENS_DIR);
inline const std::filesystem::path kModels = folder("QUIRE_MODEL_DIR", QUIRE_MODEL_DIR);

struct GoldenModel {
  std::string name;              ///< in the goldens
  std::filesystem::path path;
};
inline const GoldenModel kSmolLm2{"smollm2", kModels / "SmolLM2-135M-Instruct.Q4_1.gguf"};
inline const GoldenModel kGemma3{"gemma3", kModels / "gemma-3-270m-q4_k_m.gguf"};

/// False, with a visible line, when a file this test needs is missing.
inline bool have(const char* test, const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) return true;
  std::printf("SKIP %s: %s is missing\n", test, path.c_str());
  return false;
}
inline bool have(const char* test, const GoldenModel& model) { return have(test, model.path); }

inline std::vector<float> read_floats(const std::filesystem::path& path) {
  std::vector<float> values(std::filesystem::file_size(path) / sizeof(float));
  std::ifstream in(path, std::ios::binary);
  in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  REQUIRE(in);
  return values;
}

/// A value or a failed test with the error's sentence.
template <class T>
T require_ok(Result<T> result) {
  if (!result.ok()) FAIL(std::string(code_name(result.code())) << ": " << result.error().message);
  return std::move(result).value();
}
inline void require_ok(const Status& status) {
  if (!status.ok()) FAIL(std::string(code_name(status.code())) << ": " << status.error().message);
}

/// One device with the real model on it; validation is on and one message fails the test.
class ModelUnderTest {
 public:
  explicit ModelUnderTest(const GoldenModel& golden, const ModelOptions& options = {}, const std::function<void(DeviceOptions&)>& adjust = {})
      : fixture_(adjust) {
    std::shared_ptr<ByteSource> file = require_ok(FileSource::open(golden.path.string()));
    model = require_ok(Model::open(fixture_.device(), std::move(file), options));
  }
  Device& device() { return fixture_.device(); }
  std::unique_ptr<Session> session(SessionOptions options = {}) { return require_ok(Session::create(*model, options)); }

 private:
  test::VulkanFixture fixture_;

 public:
  std::unique_ptr<Model> model;
};

inline constexpr std::chrono::minutes kStepTimeout{5};

inline void run(std::initializer_list<Session*> sessions) {
  const std::vector<Session*> all(sessions);
  require_ok(run_steps(all, kStepTimeout));
}

/// Computes `tokens` in the given phase and returns the logits of the last `positions`.
inline std::vector<float> logits_of(Session& session, std::span<const uint32_t> tokens, Phase phase, uint32_t positions = 1) {
  session.request({.logits_last = positions});
  require_ok(session.append(tokens, phase));
  run({&session});
  const std::span<const float> logits = require_ok(session.logits());
  return {logits.begin(), logits.end()};
}

/// log of the sum of exp, in double precision.
inline double log_sum_exp(std::span<const float> logits) {
  double largest = -INFINITY;
  for (const float x : logits) largest = std::max(largest, double{x});
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

/// KL(golden || ours) in nats.
inline double kl_divergence(std::span<const float> golden, std::span<const float> ours) {
  const double golden_log_sum = log_sum_exp(golden), our_log_sum = log_sum_exp(ours);
  double kl = 0;
  for (size_t i = 0; i < golden.size(); ++i) {
    const double log_p = golden[i] - golden_log_sum;
    kl += std::exp(log_p) * (log_p - (ours[i] - our_log_sum));
  }
  return kl;
}

inline uint32_t index_of_largest(std::span<const float> logits) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[best]) best = i;
  return best;
}

}  // namespace quire::golden
