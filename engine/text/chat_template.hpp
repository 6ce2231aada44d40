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

struct ChatFamily;

class ChatTemplate {
 public:
  /// Recognises `tokenizer.chat_template`. On error: not_found (the file has none), unsupported (of no known family; names those).
  static Result<ChatTemplate> from_file(const GgufFile& file);
  /// Recognises a template's Jinja text, or a family by its bare name ("chatml"). On error: unsupported.
  static Result<ChatTemplate> recognise(std::string_view text);

  std::string_view family() const;
  /// What the model is told when a conversation has no system message, if its template says anything.
  const std::optional<std::string>& default_system() const { return default_system_; }

  /// A whole conversation. Only what the template itself writes asks for special tokens.
  /// On error: invalid_argument (no message, or an unknown role).
  Result<std::vector<TextSpan>> render(std::span<const ChatMessage> messages, GenerationPrompt prompt) const;

  /// What follows the first `rendered` messages in a timeline that already holds them, the last of these being the assistant's answer
  /// as the model generated it, without an end-of-generation token: first that turn is closed, then come the other messages.
  /// On error: invalid_argument (rendered is 0 or past the end, that message is not the assistant's, or an unknown role).
  Result<std::vector<TextSpan>> render_following(std::span<const ChatMessage> messages, size_t rendered, GenerationPrompt prompt) const;

 private:
  explicit ChatTemplate(const ChatFamily& family) : family_(&family) {}
  Status append_turn(const ChatMessage& message, std::vector<TextSpan>& spans) const;
  Status append_turns(std::span<const ChatMessage> messages, GenerationPrompt prompt, std::vector<TextSpan>& spans) const;

  const ChatFamily* family_;
  std::optional<std::string> default_system_;
};

/// The ids of ChatTemplate::render, after a BOS if the tokenizer adds one.
Result<std::vector<uint32_t>> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                          GenerationPrompt prompt);

/// The ids of ChatTemplate::render_following.
Result<std::vector<uint32_t>> encode_chat_following(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                                    size_t rendered, GenerationPrompt prompt);

}  // namespace quire
