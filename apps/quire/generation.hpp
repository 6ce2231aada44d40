// One answer: prompt tokens in, text out as it is made, and what it cost.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "flags.hpp"
#include "json.hpp"
#include "outcome.hpp"
#include "quire/quire.hpp"

namespace quire_app {

using Clock = std::chrono::steady_clock;

enum class Stop { end_token, length, context_full, interrupted };
const char* stop_name(Stop stop);

struct Answer {
  std::string text;                ///< valid UTF-8
  std::vector<uint32_t> tokens;    ///< without the end token
  Stop stop = Stop::end_token;
  uint32_t prompt_tokens = 0;      ///< computed for this answer: earlier turns are not among them
  double prompt_s = 0;             ///< until the first token was chosen
  double generation_s = 0;         ///< from there to the last

  double prompt_tok_s() const { return prompt_s > 0 ? prompt_tokens / prompt_s : 0; }
  /// Steps that computed a generated token, per second: the first token came from the prompt.
  double generated_tok_s() const { return tokens.size() > 1 && generation_s > 0 ? static_cast<double>(tokens.size() - 1) / generation_s : 0; }
};

/// Whether the answer is a text of its own, or goes on with the prompt's: then a space at its beginning is part of it.
enum class AnswerText { own, continues_prompt };

struct GenerationOptions {
  int64_t max_tokens = -1;         ///< -1: until the model ends its answer or the context is full
  quire_sampling sampling{};
  AnswerText text = AnswerText::own;
  /// Called with each piece of text. An Outcome that is not ok ends the answer.
  std::function<Outcome(std::string_view)> on_text;
};

/// Appends `prompt` to the session, computes it and generates. The session then holds the answer without its end token.
/// Ctrl-C ends the answer, with Stop::interrupted; if it comes before the first token, the answer is empty.
/// On error: kExitMemory, kExitDevice, kExitRuntime.
Outcome generate(const quire_cpp::Model& model, const quire_cpp::Session& session, const std::vector<uint32_t>& prompt,
                 const GenerationOptions& options, Answer& answer);

/// A report on one cache group: of a file's session to come, of a session, or of a model's sessions.
Json group_json(const quire_cache_group& group);
/// The groups of a session.
Json session_groups(const quire_cpp::Model& model, const quire_cpp::Session& session);
/// As "2 pages in 3 layers, 9 in 15 that see 512 tokens"; one group: "2 pages".
std::string groups_text(const Json& groups);

/// The line after an answer: tokens, speeds, time to first token, pages and bytes.
std::string closing_line(const quire_cpp::Model& model, const quire_cpp::Session& session, const Answer& answer, double load_s);
Json answer_json(const quire_cpp::Model& model, const quire_cpp::Session& session, const Answer& answer, double load_s);

double seconds_since(Clock::time_point start);
/// One JSON document and a newline on stdout; text that is not UTF-8 gets U+FFFD.
Outcome print_json(const Json& value);

}  // namespace quire_app
