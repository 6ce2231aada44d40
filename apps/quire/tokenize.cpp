// quire tokenize: text on stdin, ids on stdout.
#include <memory>

#include "generation.hpp"
#include "host.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

struct TokenizeFlags {
  ModelFlags model;
  bool special = false;
  bool json = false;
};

Outcome tokenize(const TokenizeFlags& flags) {
  std::string text;
  QUIRE_APP_TRY(read_all_input(text));
  quire_cpp::Engine engine;
  quire_cpp::Model model;
  QUIRE_APP_TRY(open_engine(flags.model, KernelTimes::off, engine));
  QUIRE_APP_TRY(open_model(flags.model, engine, model));
  std::vector<uint32_t> ids;
  const quire_status status = quire_cpp::tokenize(model, text, flags.special ? QUIRE_TOKENIZE_SPECIAL : 0, ids);
  if (status != QUIRE_OK) return failure(status, Doing::generation, quire_model_last_error(model.get()));
  if (flags.json) return print_json({{"ids", ids}, {"count", ids.size()}});
  std::string line;
  for (const uint32_t id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
  return write_out(line + "\n");
}

}  // namespace

void add_tokenize(CommandLine& line) {
  auto flags = std::make_shared<TokenizeFlags>();
  flags->model.device = "null";
  const Verb verb = line.add_verb("tokenize", "text on stdin to ids on one line; no BOS is added");
  add_model(verb, flags->model);
  verb.add_switch("--special", flags->special, "special tokens written in the text become their ids; otherwise they are plain text");
  add_json(verb, flags->json);
  verb.footer("\nExample:\n  printf 'Hello, world' | quire tokenize smollm2");
  verb.on_chosen([flags] { return tokenize(*flags); });
}

}  // namespace quire_app
