#include "generation.hpp"

#include <cstdio>

#include "host.hpp"
#include "terminal.hpp"

namespace quire_app {
namespace {

Outcome session_failure(quire_status status, const quire_cpp::Session& session) {
  return failure(status, Doing::generation, quire_session_last_error(session.get()));
}

/// Owns the streaming decoder of one answer and passes text on.
class TextStream {
 public:
  TextStream(const GenerationOptions& options, Answer& answer) : options_(options), answer_(answer) {}

  Outcome open(const quire_cpp::Model& model, const std::vector<uint32_t>& prompt) {
    const quire_status status = quire_decoder_create(model.get(), decoder_.out());
    if (status != QUIRE_OK) return failure(status, Doing::generation, quire_model_last_error(model.get()));
    if (options_.text == AnswerText::own) return {};
    std::string_view shown_already;
    for (const uint32_t token : prompt) QUIRE_APP_TRY(decode(token, shown_already));
    return {};
  }
  Outcome push(uint32_t token) {
    std::string_view text;
    QUIRE_APP_TRY(decode(token, text));
    return emit(text);
  }
  Outcome finish() {
    const char* text = nullptr;
    size_t bytes = 0;
    if (const quire_status status = quire_decoder_flush(decoder_.get(), &text, &bytes); status != QUIRE_OK)
      return failure(status, Doing::generation, quire_decoder_last_error(decoder_.get()));
    return emit({text, bytes});
  }

 private:
  Outcome decode(uint32_t token, std::string_view& decoded) {
    const char* text = nullptr;
    size_t bytes = 0;
    if (const quire_status status = quire_decoder_push(decoder_.get(), token, &text, &bytes); status != QUIRE_OK)
      return failure(status, Doing::generation, quire_decoder_last_error(decoder_.get()));
    decoded = {text, bytes};
    return {};
  }
  Outcome emit(std::string_view text) {
    answer_.text += text;
    return text.empty() || !options_.on_text ? Outcome{} : options_.on_text(text);
  }

  const GenerationOptions& options_;
  Answer& answer_;
  quire_cpp::Decoder decoder_;
};

Outcome generate_tokens(const quire_cpp::Model& model, const quire_cpp::Session& session, const GenerationOptions& options, TextStream& text,
                        Answer& answer, Clock::time_point start) {
  Clock::time_point first = start;
  while (true) {
    quire_status status = quire_session_run(session.get(), keep_going_unless_interrupted, nullptr);
    if (status == QUIRE_CANCELLED) {
      answer.stop = Stop::interrupted;
      break;
    }
    uint32_t token = 0;
    if (status == QUIRE_OK) status = quire_session_sample(session.get(), &options.sampling, &token);
    if (status != QUIRE_OK) return session_failure(status, session);
    if (answer.tokens.empty()) {
      first = Clock::now();
      answer.prompt_s = std::chrono::duration<double>(first - start).count();
    } else {
      answer.generation_s = seconds_since(first);
    }
    if (quire_model_is_end_token(model.get(), token) != 0) {
      answer.stop = Stop::end_token;
      break;
    }
    status = quire_session_append(session.get(), &token, 1, QUIRE_PHASE_GENERATED);
    if (status == QUIRE_CONTEXT_FULL) {
      answer.stop = Stop::context_full;
      break;
    }
    if (status != QUIRE_OK) return session_failure(status, session);
    answer.tokens.push_back(token);
    QUIRE_APP_TRY(text.push(token));
    if (options.max_tokens >= 0 && static_cast<int64_t>(answer.tokens.size()) >= options.max_tokens) {
      answer.stop = Stop::length;
      break;
    }
  }
  return text.finish();
}

struct Usage {
  quire_model_memory model = quire_cpp::sized<quire_model_memory>();
  quire_session_counts session = quire_cpp::sized<quire_session_counts>();
};

Usage usage(const quire_cpp::Model& model, const quire_cpp::Session& session) {
  Usage used;
  static_cast<void>(quire_model_memory_used(model.get(), &used.model));
  static_cast<void>(quire_session_get_counts(session.get(), &used.session));
  return used;
}

std::string format_bytes(uint64_t bytes) {
  char text[32];
  const double mib = static_cast<double>(bytes) / (1 << 20);
  if (mib >= 1024)
    std::snprintf(text, sizeof text, "%.2f GiB", mib / 1024);
  else
    std::snprintf(text, sizeof text, "%.1f MiB", mib);
  return text;
}

}  // namespace

const char* stop_name(Stop stop) {
  switch (stop) {
    case Stop::end_token: return "end";
    case Stop::length: return "length";
    case Stop::context_full: return "context_full";
    case Stop::interrupted: break;
  }
  return "interrupted";
}

Json group_json(const quire_cache_group& group) {
  return {{"layers", group.layers},
          {"window", group.window},
          {"tokens_per_page", group.tokens_per_page},
          {"most_pages", group.most_pages},
          {"pages", group.pages},
          {"bytes", group.page_bytes},
          {"bytes_per_token", group.page_bytes_per_token}};
}

Json session_groups(const quire_cpp::Model& model, const quire_cpp::Session& session) {
  Json groups = Json::array();
  for (size_t i = 0; i < quire_model_group_count(model.get()); ++i) {
    quire_cache_group group = quire_cpp::sized<quire_cache_group>();
    if (quire_session_get_group(session.get(), i, &group) == QUIRE_OK) groups.push_back(group_json(group));
  }
  return groups;
}

std::string groups_text(const Json& groups) {
  std::string text;
  for (const Json& group : groups) {
    text += text.empty() ? "" : ", ";
    text += std::to_string(group["pages"].get<uint64_t>()) + (text.empty() ? " pages" : "");
    if (groups.size() > 1) text += " in " + std::to_string(group["layers"].get<uint32_t>()) + " layers";
    if (group["window"] != 0) text += " that see " + std::to_string(group["window"].get<uint32_t>()) + " tokens";
  }
  return text;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Outcome generate(const quire_cpp::Model& model, const quire_cpp::Session& session, const std::vector<uint32_t>& prompt,
                 const GenerationOptions& options, Answer& answer) {
  answer = {};
  answer.prompt_tokens = static_cast<uint32_t>(prompt.size());
  TextStream text(options, answer);
  QUIRE_APP_TRY(text.open(model, prompt));
  const Clock::time_point start = Clock::now();
  if (const quire_status status = quire_session_append(session.get(), prompt.data(), prompt.size(), QUIRE_PHASE_PROMPT); status != QUIRE_OK)
    return session_failure(status, session);
  if (options.max_tokens == 0) {
    answer.stop = Stop::length;
    const quire_status status = quire_session_run(session.get(), keep_going_unless_interrupted, nullptr);
    answer.prompt_s = seconds_since(start);
    return status == QUIRE_OK ? Outcome{} : session_failure(status, session);
  }
  return generate_tokens(model, session, options, text, answer, start);
}

std::string closing_line(const quire_cpp::Model& model, const quire_cpp::Session& session, const Answer& answer, double load_s) {
  const Usage used = usage(model, session);
  char line[400];
  std::snprintf(line, sizeof line,
                "prompt %u tokens, %.1f tok/s; generated %zu tokens, %.1f tok/s (%s); load %.2f s, first token %.2f s; KV %s, %s, %llu bytes per token",
                answer.prompt_tokens, answer.prompt_tok_s(), answer.tokens.size(), answer.generated_tok_s(), stop_name(answer.stop), load_s, answer.prompt_s,
                groups_text(session_groups(model, session)).c_str(), format_bytes(used.model.page_bytes_used).c_str(),
                static_cast<unsigned long long>(used.session.page_bytes_per_token));
  return line;
}

Json answer_json(const quire_cpp::Model& model, const quire_cpp::Session& session, const Answer& answer, double load_s) {
  const Usage used = usage(model, session);
  return {{"text", answer.text},
          {"tokens", answer.tokens},
          {"stop", stop_name(answer.stop)},
          {"prompt_tokens", answer.prompt_tokens},
          {"prompt_tok_s", answer.prompt_tok_s()},
          {"generated_tokens", answer.tokens.size()},
          {"generated_tok_s", answer.generated_tok_s()},
          {"load_s", load_s},
          {"time_to_first_token_s", answer.prompt_s},
          {"kv_pages", used.model.pages_used},
          {"kv_bytes", used.model.page_bytes_used},
          {"kv_bytes_per_token", used.session.page_bytes_per_token},
          {"kv_groups", session_groups(model, session)}};
}

Outcome print_json(const Json& value) { return write_out(json_text(value, 2) + "\n"); }

}  // namespace quire_app
