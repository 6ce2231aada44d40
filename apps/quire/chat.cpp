// quire chat: a conversation. Earlier turns stay in the session's pages and are never computed again.
#include <memory>

#include "generation.hpp"
#include "host.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string system;
  int64_t max_tokens = -1;
  bool json = false;
};

struct Message {
  const char* role;
  std::string content;
};

class Chat {
 public:
  explicit Chat(const ChatFlags& flags) : flags_(flags) {}

  Outcome open() {
    const Clock::time_point start = Clock::now();
    QUIRE_APP_TRY(open_engine(flags_.model, KernelTimes::off, engine_));
    QUIRE_APP_TRY(open_model(flags_.model, engine_, model_));
    QUIRE_APP_TRY(check_template());
    QUIRE_APP_TRY(open_session(flags_.model, model_, session_));
    load_s_ = seconds_since(start);
    seed_ = choose_seed(flags_.sampling);
    begin_conversation();
    return {};
  }

  /// One conversation after another, until the input ends.
  Outcome loop() {
    const bool person = is_terminal(Stream::in) && !flags_.json;
    if (person) say("type a message; /reset forgets the conversation, /stats shows memory, Ctrl-C stops an answer, Ctrl-D ends");
    while (true) {
      clear_interrupt();
      if (person) QUIRE_APP_TRY(write_out("> "));
      std::string line;
      bool ended = false;
      const Outcome read = read_line(line, ended);
      if (read.code == kExitInterrupted && person) {
        QUIRE_APP_TRY(write_out("\n"));
        say("Ctrl-D ends the program");
        continue;
      }
      QUIRE_APP_TRY(read);
      if (ended) return person ? write_out("\n") : Outcome{};
      QUIRE_APP_TRY(take(line));
    }
  }

 private:
  Outcome check_template() const {
    const quire_message message = {"user", "?", 1};
    std::vector<uint32_t> tokens;
    const quire_status status = quire_cpp::apply_template(model_, {message}, 0, tokens);
    if (status == QUIRE_OK) return {};
    if (status == QUIRE_UNSUPPORTED) return unknown_template(model_);
    return failure(kExitModel, std::string("this model cannot chat: ") + quire_model_last_error(model_.get()) +
                                   "; `quire run` continues text, --chat-template NAME chooses a template");
  }

  Outcome take(const std::string& line) {
    if (line.empty()) return {};
    if (line == "/reset") return reset();
    if (line == "/stats") return stats();
    if (line.starts_with('/') && line.find(' ') == std::string::npos) {
      say("there is no command " + line + "; there are /reset and /stats");
      return {};
    }
    return answer_to(line);
  }

  void begin_conversation() {
    messages_.clear();
    held_ = 0;
    if (!flags_.system.empty()) messages_.push_back({"system", flags_.system});
  }

  Outcome reset() {
    if (const quire_status status = quire_session_reset(session_.get()); status != QUIRE_OK)
      return failure(status, Doing::generation, quire_session_last_error(session_.get()));
    begin_conversation();
    say("the conversation is forgotten");
    return {};
  }

  quire_session_counts counts() const {
    quire_session_counts counts = quire_cpp::sized<quire_session_counts>();
    static_cast<void>(quire_session_get_counts(session_.get(), &counts));
    return counts;
  }

  Outcome stats() {
    quire_model_memory memory = quire_cpp::sized<quire_model_memory>();
    static_cast<void>(quire_model_memory_used(model_.get(), &memory));
    const quire_session_counts now = counts();
    say(std::to_string(now.tokens) + " tokens in the conversation, room for " + std::to_string(now.context_left) + " more; KV " +
        groups_text(session_groups(model_, session_)) + ", " + std::to_string(memory.page_bytes_used) + " bytes in use of " +
        std::to_string(memory.slab_bytes) + " taken, " + std::to_string(now.page_bytes_per_token) + " bytes per token; weights " +
        std::to_string(memory.weight_bytes) + " bytes");
    return {};
  }

  Outcome template_tokens(std::vector<uint32_t>& tokens) const {
    std::vector<quire_message> messages;
    for (const Message& message : messages_) messages.push_back({message.role, message.content.data(), message.content.size()});
    const quire_status status = quire_cpp::apply_template(model_, messages, held_, tokens);
    return status == QUIRE_OK ? Outcome{} : failure(status, Doing::generation, quire_model_last_error(model_.get()));
  }

  Outcome answer_to(const std::string& line) {
    const uint32_t length_before = counts().tokens;
    messages_.push_back({"user", line});
    std::vector<uint32_t> tokens;
    QUIRE_APP_TRY(template_tokens(tokens));
    GenerationOptions options;
    options.max_tokens = flags_.max_tokens;
    options.sampling = sampling_of(flags_.sampling, seed_);
    if (!flags_.json) options.on_text = write_out;
    Answer answer;
    const Outcome generated = generate(model_, session_, tokens, options, answer);
    if (generated.code == kExitPipeClosed || generated.code == kExitDevice) return generated;
    if (!generated.ok() || answer.tokens.empty()) return withdraw(length_before, generated, answer);
    messages_.push_back({"assistant", answer.text});
    held_ = messages_.size();
    if (flags_.json) return print_json(answer_json(model_, session_, answer, load_s_));
    QUIRE_APP_TRY(write_out("\n"));
    say(closing_line(model_, session_, answer, load_s_));
    if (answer.stop == Stop::context_full) say("the context is full: /reset starts anew");
    return {};
  }

  /// A message that got no answer leaves no trace, so that the person can go on as before it.
  Outcome withdraw(uint32_t length_before, const Outcome& reason, const Answer& answer) {
    messages_.pop_back();
    if (const quire_status status = quire_session_truncate(session_.get(), length_before); status != QUIRE_OK)
      return failure(status, Doing::generation, quire_session_last_error(session_.get()));
    if (!reason.ok())
      say("the message was withdrawn: " + reason.message);
    else
      say(answer.stop == Stop::interrupted ? "the message was withdrawn" : "the model gave no answer; the message was withdrawn");
    // Without a person to go on, a failure ends the program.
    return is_terminal(Stream::in) ? Outcome{} : Outcome{reason.code, ""};
  }

  const ChatFlags& flags_;
  quire_cpp::Engine engine_;
  quire_cpp::Model model_;
  quire_cpp::Session session_;
  std::vector<Message> messages_;
  size_t held_ = 0;                 ///< messages that the session holds
  double load_s_ = 0;
  uint64_t seed_ = 0;
};

}  // namespace

void add_chat(CommandLine& line) {
  auto flags = std::make_shared<ChatFlags>();
  const Verb verb = line.add_verb("chat", "a conversation, one line a message");
  add_model(verb, flags->model);
  verb.add("--system,--system-prompt", flags->system, "a system message instead of the model's own (also -sys)");
  verb.add("-n,--predict,--n-predict", flags->max_tokens, "most tokens of one answer; -1: until the model ends").range(-1, INT32_MAX);
  add_chat_template(verb, flags->model);
  add_sampling(verb, flags->sampling);
  add_device(verb, flags->model);
  add_cache(verb, flags->model);
  add_json(verb, flags->json);
  verb.footer("\nIn the conversation:\n  /reset   forget it and begin anew\n  /stats   tokens and memory\n  Ctrl-C   stop the answer\n  Ctrl-D   end");
  verb.on_chosen([flags] {
    Chat chat(*flags);
    QUIRE_APP_TRY(chat.open());
    return chat.loop();
  });
}

}  // namespace quire_app
