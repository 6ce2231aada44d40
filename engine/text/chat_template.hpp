// ChatTemplate: how a model wants a conversation written. Recognised from the model's own template text, never executed from it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/model/gguf_reader.hpp"
#include "engine/text/tokenizer.hpp"

namespace quire {

struct ChatMessage {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// Whether the text ends with the opening of an assistant turn, for the model to go on from.
enum class GenerationPrompt : uint8_t { omit, add };

/// What a vocabulary calls the tokens that templates know as bos_token and eos_token; "" for one it does not have.
struct SpecialNames {
  std::string bos, eos;
};
SpecialNames special_names(const Tokenizer& tokenizer);

struct ChatFamily;

class ChatTemplate {
 public:
  /// Recognises `tokenizer.chat_template`. On error: not_found (the file has none), unsupported (of no known family; names those).
  static Result<ChatTemplate> from_file(const GgufFile& file, SpecialNames names);
  /// Recognises a template's Jinja text. On error: unsupported.
  static Result<ChatTemplate> recognise(std::string_view text, SpecialNames names);
  /// A family by its name ("chatml"). On error: invalid_argument (names those that are known).
  static Result<ChatTemplate> named(std::string_view name, SpecialNames names);

  std::string_view family() const;
  /// What the model is told when a conversation has no system message, if its template says anything.
  const std::optional<std::string>& default_system() const { return default_system_; }

  /// A whole conversation. Only what the template itself writes asks for special tokens.
  /// On error: invalid_argument (no message, an unknown role, or a system message that has no user turn to stand in, where that is its place).
  Result<std::vector<TextSpan>> render(std::span<const ChatMessage> messages, GenerationPrompt prompt) const;

  /// What follows the first `rendered` messages in a timeline that already holds them, the last of these being the assistant's answer
  /// as the model generated it, without an end-of-generation token: first that turn is closed, then come the other messages.
  /// On error: invalid_argument (rendered is 0 or past the end, that message is not the assistant's, or an unknown role).
  Result<std::vector<TextSpan>> render_following(std::span<const ChatMessage> messages, size_t rendered, GenerationPrompt prompt) const;

 private:
  ChatTemplate(const ChatFamily& family, SpecialNames names);
  void append_written(std::string_view text, std::vector<TextSpan>& spans) const;
  void append_turn(const ChatMessage& message, const ChatMessage* system, std::vector<TextSpan>& spans) const;
  Status append_turns(std::span<const ChatMessage> messages, GenerationPrompt prompt, std::vector<TextSpan>& spans) const;

  const ChatFamily* family_;
  SpecialNames names_;
  std::string_view begin_;  ///< before everything
  std::optional<std::string> default_system_;
};

/// The ids of ChatTemplate::render, after a BOS if the tokenizer adds one.
Result<std::vector<uint32_t>> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                          GenerationPrompt prompt);

/// The ids of ChatTemplate::render_following.
Result<std::vector<uint32_t>> encode_chat_following(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                                    size_t rendered, GenerationPrompt prompt);

}  // namespace quire
