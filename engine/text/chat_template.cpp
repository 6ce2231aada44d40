#include "engine/text/chat_template.hpp"

#include <algorithm>
#include <array>

namespace quire {

/// A row of the table of templates: how its text is known, and what stands around a message.
struct ChatFamily {
  std::string_view name;
  std::array<std::string_view, 3> markers;  ///< all of them are in the template's text
  std::string_view turn_open;               ///< before the role
  std::string_view role_close;              ///< between role and content
  std::string_view turn_close;              ///< after the content
  std::string_view assistant;               ///< the role's name for the model
};

namespace {

constexpr std::array kFamilies = std::to_array<ChatFamily>({
    {"chatml", {"<|im_start|>", "<|im_end|>", "add_generation_prompt"}, "<|im_start|>", "\n", "<|im_end|>\n", "assistant"},
});

constexpr std::string_view kRoles[] = {"system", "user", "assistant"};

/// Jinja writes a line break in a string literal as itself or as an escape; the template's text is compared with escapes resolved.
std::string resolve_escapes(std::string_view text) {
  std::string resolved;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    const char next = escape ? text[i + 1] : '\0';
    if (next == 'n') {
      resolved += '\n';
      ++i;
    } else if (next == '\'' || next == '"' || next == '\\') {
      resolved += next;
      ++i;
    } else {
      resolved += text[i];
    }
  }
  return resolved;
}

bool is_family(const ChatFamily& family, std::string_view text) {
  return std::all_of(family.markers.begin(), family.markers.end(), [&](std::string_view marker) { return text.find(marker) != text.npos; });
}

/// The system message that the template itself writes: a literal turn whose content joins no variable.
std::optional<std::string> find_default_system(const ChatFamily& family, std::string_view text) {
  std::string opening(family.turn_open);
  opening += "system";
  opening += family.role_close;
  const std::string_view end_marker = family.turn_close.substr(0, family.turn_close.find('\n'));
  for (size_t at = text.find(opening); at != text.npos; at = text.find(opening, at + 1)) {
    const size_t begin = at + opening.size();
    const size_t end = text.find(end_marker, begin);
    if (end == text.npos) break;
    const std::string_view content = text.substr(begin, end - begin);
    if (content.find_first_of("'\"+{}") == content.npos) return std::string(content);
  }
  return std::nullopt;
}

std::string family_names() {
  std::string names;
  for (const ChatFamily& family : kFamilies) names += (names.empty() ? "" : ", ") + std::string(family.name);
  return names;
}

void append(std::vector<TextSpan>& spans, std::string_view text, SpecialTokens special) {
  if (text.empty()) return;
  if (!spans.empty() && spans.back().special == special) {
    spans.back().text += text;
  } else {
    spans.push_back({std::string(text), special});
  }
}

}  // namespace

Result<ChatTemplate> ChatTemplate::from_file(const GgufFile& file) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  if (!file.has(kKey)) return make_error(Code::not_found, "the file has no chat template");
  QUIRE_ASSIGN(const std::string_view text, file.get_string(kKey));
  return recognise(text);
}

Result<ChatTemplate> ChatTemplate::recognise(std::string_view text) {
  for (const ChatFamily& family : kFamilies) {
    if (text == family.name) return ChatTemplate(family);
  }
  const std::string resolved = resolve_escapes(text);
  for (const ChatFamily& family : kFamilies) {
    if (!is_family(family, resolved)) continue;
    ChatTemplate result(family);
    result.default_system_ = find_default_system(family, resolved);
    return result;
  }
  std::string beginning(text.substr(0, 60));
  std::replace_if(beginning.begin(), beginning.end(), [](char c) { return c < 0x20 || c > 0x7e; }, ' ');
  return make_error(Code::unsupported, "the chat template that begins with '%s' is not one of: %s", beginning.c_str(), family_names().c_str());
}

std::string_view ChatTemplate::family() const { return family_->name; }

Status ChatTemplate::append_turn(const ChatMessage& message, std::vector<TextSpan>& spans) const {
  if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles)) {
    return make_error(Code::invalid_argument, "the role '%.40s' is not one of: system, user, assistant", message.role.c_str());
  }
  append(spans, family_->turn_open, SpecialTokens::parse);
  append(spans, message.role == "assistant" ? family_->assistant : message.role, SpecialTokens::parse);
  append(spans, family_->role_close, SpecialTokens::parse);
  append(spans, message.content, SpecialTokens::ignore);
  append(spans, family_->turn_close, SpecialTokens::parse);
  return {};
}

Status ChatTemplate::append_turns(std::span<const ChatMessage> messages, GenerationPrompt prompt, std::vector<TextSpan>& spans) const {
  for (const ChatMessage& message : messages) QUIRE_TRY(append_turn(message, spans));
  if (prompt == GenerationPrompt::add) {
    append(spans, family_->turn_open, SpecialTokens::parse);
    append(spans, family_->assistant, SpecialTokens::parse);
    append(spans, family_->role_close, SpecialTokens::parse);
  }
  return {};
}

Result<std::vector<TextSpan>> ChatTemplate::render(std::span<const ChatMessage> messages, GenerationPrompt prompt) const {
  if (messages.empty()) return make_error(Code::invalid_argument, "the conversation has 0 messages; at least 1 is needed");
  std::vector<TextSpan> spans;
  if (default_system_ && messages[0].role != "system") QUIRE_TRY(append_turn({"system", *default_system_}, spans));
  QUIRE_TRY(append_turns(messages, prompt, spans));
  return spans;
}

Result<std::vector<TextSpan>> ChatTemplate::render_following(std::span<const ChatMessage> messages, size_t rendered, GenerationPrompt prompt) const {
  if (rendered == 0 || rendered > messages.size()) {
    return make_error(Code::invalid_argument, "%zu messages are said to be in the timeline; 1 to %zu are possible", rendered, messages.size());
  }
  if (messages[rendered - 1].role != "assistant") {
    return make_error(Code::invalid_argument, "message %zu has the role '%.40s'; the last one in the timeline must be the assistant's", rendered - 1,
                      messages[rendered - 1].role.c_str());
  }
  std::vector<TextSpan> spans;
  append(spans, family_->turn_close, SpecialTokens::parse);
  QUIRE_TRY(append_turns(messages.subspan(rendered), prompt, spans));
  return spans;
}

Result<std::vector<uint32_t>> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                          GenerationPrompt prompt) {
  QUIRE_ASSIGN(const std::vector<TextSpan> spans, chat.render(messages, prompt));
  QUIRE_ASSIGN(std::vector<uint32_t> ids, tokenizer.encode(spans));
  const auto bos = tokenizer.bos();
  if (tokenizer.add_bos() && bos && (ids.empty() || ids.front() != *bos)) ids.insert(ids.begin(), *bos);
  return ids;
}

Result<std::vector<uint32_t>> encode_chat_following(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                                    size_t rendered, GenerationPrompt prompt) {
  QUIRE_ASSIGN(const std::vector<TextSpan> spans, chat.render_following(messages, rendered, prompt));
  return tokenizer.encode(spans);
}

}  // namespace quire
