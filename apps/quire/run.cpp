// quire run: one prompt, one answer.
#include <memory>

#include "generation.hpp"
#include "host.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

struct RunFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string positional_prompt, option_prompt, system;
  bool prompt_given = false;
  int64_t max_tokens = -1;
  bool raw = false;
  bool json = false;
};

/// The prompt from the command line, or all of stdin without one newline at its end.
Outcome take_prompt(const RunFlags& flags, std::string& prompt) {
  if (flags.prompt_given) {
    prompt = flags.option_prompt.empty() ? flags.positional_prompt : flags.option_prompt;
  } else {
    if (is_terminal(Stream::in)) return failure(kExitUsage, "no prompt: write one after the model, or pipe one in");
    QUIRE_APP_TRY(read_all_input(prompt));
    if (prompt.ends_with('\n')) prompt.pop_back();
  }
  return prompt.empty() ? failure(kExitUsage, "the prompt is empty") : Outcome{};
}

struct Prompt {
  std::vector<uint32_t> tokens;
  AnswerText answer = AnswerText::own;
};

Outcome prompt_tokens(const quire_cpp::Model& model, const RunFlags& flags, const std::string& text, Prompt& prompt) {
  if (!flags.raw) {
    std::vector<quire_message> messages;
    if (!flags.system.empty()) messages.push_back({"system", flags.system.data(), flags.system.size()});
    messages.push_back({"user", text.data(), text.size()});
    const quire_status status = quire_cpp::apply_template(model, messages, 0, prompt.tokens);
    if (status == QUIRE_UNSUPPORTED) return unknown_template(model);
    if (status == QUIRE_OK) return {};
    if (status != QUIRE_NOT_FOUND) return failure(status, Doing::generation, quire_model_last_error(model.get()));
    if (!flags.system.empty()) return failure(kExitUsage, "--system needs a chat template, and the model has none; --chat-template NAME chooses one");
    say(std::string("the text is continued without a chat template: ") + quire_model_last_error(model.get()) + "; --chat-template NAME chooses one");
  }
  prompt.answer = AnswerText::continues_prompt;
  const quire_status status = quire_cpp::tokenize(model, text, QUIRE_TOKENIZE_BOS, prompt.tokens);
  return status == QUIRE_OK ? Outcome{} : failure(status, Doing::generation, quire_model_last_error(model.get()));
}

Outcome run(const RunFlags& flags) {
  std::string text;
  QUIRE_APP_TRY(take_prompt(flags, text));
  const Clock::time_point start = Clock::now();
  quire_cpp::Engine engine;
  quire_cpp::Model model;
  quire_cpp::Session session;
  QUIRE_APP_TRY(open_engine(flags.model, KernelTimes::off, engine));
  QUIRE_APP_TRY(open_model(flags.model, engine, model));
  QUIRE_APP_TRY(open_session(flags.model, model, session));
  Prompt prompt;
  QUIRE_APP_TRY(prompt_tokens(model, flags, text, prompt));
  const double load_s = seconds_since(start);

  GenerationOptions options;
  options.max_tokens = flags.max_tokens;
  options.sampling = sampling_of(flags.sampling, choose_seed(flags.sampling));
  options.text = prompt.answer;
  if (!flags.json) options.on_text = write_out;
  Answer answer;
  QUIRE_APP_TRY(generate(model, session, prompt.tokens, options, answer));
  if (flags.json)
    QUIRE_APP_TRY(print_json(answer_json(model, session, answer, load_s)));
  else
    QUIRE_APP_TRY(write_out("\n"));
  say(closing_line(model, session, answer, load_s));
  return answer.stop == Stop::interrupted ? failure(kExitInterrupted, "") : Outcome{};
}

}  // namespace

void add_run(CommandLine& line) {
  auto flags = std::make_shared<RunFlags>();
  const Verb verb = line.add_verb("run", "answer one prompt; the answer streams to stdout");
  add_model(verb, flags->model);
  const Flag positional = verb.add("PROMPT", flags->positional_prompt, "the prompt; without one, all of stdin");
  const Flag option = verb.add("-p,--prompt", flags->option_prompt, "the same as PROMPT");
  verb.add("--system,--system-prompt", flags->system, "a system message instead of the model's own (also -sys)");
  verb.add("-n,--predict,--n-predict", flags->max_tokens, "most tokens to generate; -1: until the model ends").range(-1, INT32_MAX);
  verb.add_switch("--raw", flags->raw, "continue the text as it is, without the chat template");
  add_chat_template(verb, flags->model);
  add_sampling(verb, flags->sampling);
  add_device(verb, flags->model);
  add_cache(verb, flags->model);
  add_json(verb, flags->json);
  verb.footer("\nExamples:\n  quire run smollm2 \"Why is the sky blue?\"\n  quire run model.gguf --temp 0 -n 64 --device 0 < prompt.txt");
  verb.on_chosen([flags, positional, option] {
    flags->prompt_given = positional.given() || option.given();
    // With -m the first positional is the prompt.
    if (!flags->model.option.empty() && !flags->model.positional.empty() && !flags->prompt_given) {
      flags->positional_prompt = flags->model.positional;
      flags->prompt_given = true;
    }
    return run(*flags);
  });
}

}  // namespace quire_app
