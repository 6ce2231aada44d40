// quire logits: ids on stdin, logits of the last positions to a file.
#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>

#include "generation.hpp"
#include "host.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

struct LogitsFlags {
  ModelFlags model;
  std::string out;
  uint32_t last = 1;
  uint32_t decode = 0;
  bool json = false;
};

Outcome parse_ids(const std::string& text, std::vector<uint32_t>& ids) {
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    while (at != end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) ++at;
    if (at == end) break;
    uint32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (next != end && std::strchr(" \n\t\r", *next) == nullptr))
      return failure(kExitUsage, "stdin has something that is no token id at byte " + std::to_string(at - text.data()));
    ids.push_back(id);
    at = next;
  }
  return ids.empty() ? failure(kExitUsage, "stdin has no token ids") : Outcome{};
}

Outcome write_floats(const std::string& path, const float* values, size_t count) {
  FILE* file = path == "-" ? stdout : std::fopen(path.c_str(), "wb");
  if (file == nullptr) return failure(kExitRuntime, "cannot write " + path + ": " + std::strerror(errno));
  bool written = true;
  constexpr size_t kBlock = 4096;
  unsigned char bytes[kBlock * 4];
  for (size_t begin = 0; begin < count && written; begin += kBlock) {
    const size_t block = std::min(kBlock, count - begin);
    for (size_t i = 0; i < block; ++i) {
      const auto bits = std::bit_cast<uint32_t>(values[begin + i]);
      for (size_t byte = 0; byte < 4; ++byte) bytes[4 * i + byte] = static_cast<unsigned char>(bits >> (8 * byte));
    }
    written = std::fwrite(bytes, 4, block, file) == block;
  }
  written = std::fflush(file) == 0 && written;
  if (file != stdout) written = std::fclose(file) == 0 && written;
  if (!written && file == stdout && errno == EPIPE) return failure(kExitPipeClosed, "");
  return written ? Outcome{} : failure(kExitRuntime, "cannot write all of " + path + ": " + std::strerror(errno));
}

Outcome logits(const LogitsFlags& flags) {
  if (flags.json && flags.out == "-") return failure(kExitUsage, "--json and --out - would both write to stdout");
  std::string text;
  std::vector<uint32_t> ids;
  QUIRE_APP_TRY(read_all_input(text));
  QUIRE_APP_TRY(parse_ids(text, ids));
  if (flags.decode > ids.size() || flags.last > ids.size())
    return failure(kExitUsage, "--decode and --last are at most the " + std::to_string(ids.size()) + " ids given");
  quire_cpp::Engine engine;
  quire_cpp::Model model;
  quire_cpp::Session session;
  QUIRE_APP_TRY(open_engine(flags.model, KernelTimes::off, engine));
  QUIRE_APP_TRY(open_model(flags.model, engine, model));
  QUIRE_APP_TRY(open_session(flags.model, model, session));
  const size_t prompt = ids.size() - flags.decode;
  const float* values = nullptr;
  uint32_t positions = 0;
  quire_status status = quire_session_request_logits(session.get(), flags.last);
  if (status == QUIRE_OK) status = quire_session_append(session.get(), ids.data(), prompt, QUIRE_PHASE_PROMPT);
  if (status == QUIRE_OK) status = quire_session_append(session.get(), ids.data() + prompt, flags.decode, QUIRE_PHASE_GENERATED);
  if (status == QUIRE_OK) status = quire_session_run(session.get(), keep_going_unless_interrupted, nullptr);
  if (status == QUIRE_OK) status = quire_session_get_logits(session.get(), &values, &positions);
  if (status != QUIRE_OK) return failure(status, Doing::generation, quire_session_last_error(session.get()));
  quire_model_info info = quire_cpp::sized<quire_model_info>();
  static_cast<void>(quire_model_get_info(model.get(), &info));
  QUIRE_APP_TRY(write_floats(flags.out, values, size_t{positions} * info.vocabulary));
  if (!flags.json) return {};
  std::vector<size_t> largest;
  for (uint32_t p = 0; p < positions; ++p) {
    const float* row = values + size_t{p} * info.vocabulary;
    largest.push_back(static_cast<size_t>(std::max_element(row, row + info.vocabulary) - row));
  }
  return print_json({{"file", flags.out}, {"positions", positions}, {"vocabulary", info.vocabulary}, {"argmax", largest}});
}

}  // namespace

void add_logits(CommandLine& line) {
  auto flags = std::make_shared<LogitsFlags>();
  const Verb verb = line.add_verb("logits", "ids on stdin; float32 little-endian [positions][vocabulary] to a file");
  add_model(verb, flags->model);
  verb.add("--out", flags->out, "the file; - is stdout").required();
  verb.add("--last", flags->last, "logits after each of this many last ids").range(1, INT32_MAX).show_default();
  verb.add("--decode", flags->decode, "this many last ids go through the one-token kernels, as generated ones do").range(0, INT32_MAX);
  add_device(verb, flags->model);
  add_cache(verb, flags->model);
  add_json(verb, flags->json);
  verb.footer("\nExample:\n  printf 'The sky is' | quire tokenize smollm2 | quire logits smollm2 --out logits.f32 --decode 1");
  verb.on_chosen([flags] { return logits(*flags); });
}

}  // namespace quire_app
