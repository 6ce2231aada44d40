#include "engine/text/chat_template.hpp"

#include <algorithm>

#include "engine/text/chat_families.hpp"
#include "engine/text/utf8.hpp"

namespace quire {
namespace {

constexpr std::string_view kRoles[] = {"system", "user", "assistant"};

/// The system message that the template itself writes: a literal turn whose content joins no variable.
std::optional<std::string> find_default_system(const ChatFamily& family, std::string_view text) {
  const std::string_view opening = family.system.open;
  const std::string_view end_marker = family.system.close.substr(0, family.system.close.find('\n'));
  if (opening.empty() || end_marker.empty()) return std::nullopt;
  for (size_t at = text.find(opening); at != text.npos; at = text.find(opening, at + 1)) {
    const size_t begin = at + opening.size();
    const size_t end = text.find(end_marker, begin);
    if (end == text.npos) break;
    const std::string_view content = text.substr(begin, end - begin);
    if (!content.empty() && content.find_first_of("'\"+{}") == content.npos) return std::string(content);
  }
  return std::nullopt;
}

/// What Python's str.strip takes away, which templates call.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view without_leading_space(std::string_view text) {
  while (!text.empty()) {
    const Utf8Unit unit = utf8_unit(text);
    if (unit.kind != Utf8Unit::Kind::character || !is_space(unit.code_point)) break;
    text.remove_prefix(unit.size_bytes);
  }
  return text;
}

std::string_view without_trailing_space(std::string_view text) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && text.size() - begin < 4 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    const Utf8Unit unit = utf8_unit(text.substr(begin));
    if (unit.kind != Utf8Unit::Kind::character || begin + unit.size_bytes != text.size() || !is_space(unit.code_point)) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string_view trimmed(std::string_view text, Trim trim, const ChatMessage* system) {
  if (trim == Trim::nothing) return text;
  if (trim == Trim::both_ends || system == nullptr) text = without_leading_space(text);
  return without_trailing_space(text);
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

SpecialNames special_names(const Tokenizer& tokenizer) {
  const auto name = [&](std::optional<uint32_t> id) { return id ? std::string(tokenizer.token_bytes(*id)) : std::string(); };
  return {name(tokenizer.bos()), name(tokenizer.eos())};
}

ChatTemplate::ChatTemplate(const ChatFamily& family, SpecialNames names) : family_(&family), names_(std::move(names)) {
  if (family.system_place == SystemPlace::own_turn_always) default_system_ = "";
}

Result<ChatTemplate> ChatTemplate::from_file(const GgufFile& file, SpecialNames names) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  if (!file.has(kKey)) return make_error(Code::not_found, "the file has no chat template");
  QUIRE_ASSIGN(const std::string_view text, file.get_string(kKey));
  return recognise(text, std::move(names));
}

Result<ChatTemplate> ChatTemplate::recognise(std::string_view text, SpecialNames names) {
  const std::string resolved = resolve_escapes(text);
  if (const ChatFamily* family = recognise_chat_family(join_literals(resolved))) {
    ChatTemplate result(*family, std::move(names));
    if (auto written = find_default_system(*family, resolved)) result.default_system_ = std::move(written);
    if (resolved.find("bos_token") != resolved.npos && !family->user.open.starts_with(kBosName)) result.begin_ = kBosName;
    return result;
  }
  std::string beginning(text.substr(0, 60));
  std::replace_if(beginning.begin(), beginning.end(), [](char c) { return c < 0x20 || c > 0x7e; }, ' ');
  return make_error(Code::unsupported, "the chat template that begins with '%s' is not one of: %s", beginning.c_str(), chat_family_names().c_str());
}

Result<ChatTemplate> ChatTemplate::named(std::string_view name, SpecialNames names) {
  if (const ChatFamily* family = find_chat_family(name)) return ChatTemplate(*family, std::move(names));
  return make_error(Code::invalid_argument, "the chat template '%s' is not one of: %s", std::string(name.substr(0, 60)).c_str(), chat_family_names().c_str());
}

std::string_view ChatTemplate::family() const { return family_->name(); }

/// Appends what the template writes, with the vocabulary's names in their places.
void ChatTemplate::append_written(std::string_view text, std::vector<TextSpan>& spans) const {
  while (!text.empty()) {
    const size_t place = std::min(text.find('{'), text.size());
    append(spans, text.substr(0, place), SpecialTokens::parse);
    text.remove_prefix(place);
    if (text.empty()) return;
    const bool is_bos = text.starts_with(kBosName);
    append(spans, is_bos ? names_.bos : names_.eos, SpecialTokens::parse);
    text.remove_prefix(is_bos ? kBosName.size() : kEosName.size());
  }
}

/// `system`: what stands before the message in its turn, or null.
void ChatTemplate::append_turn(const ChatMessage& message, const ChatMessage* system, std::vector<TextSpan>& spans) const {
  const ChatTurn& turn = message.role == "system" ? family_->system : message.role == "user" ? family_->user : family_->assistant;
  append_written(turn.open, spans);
  if (system != nullptr) {
    append_written(family_->system.open, spans);
    append(spans, trimmed(system->content, family_->system.trim, nullptr), SpecialTokens::ignore);
    append_written(family_->system.close, spans);
  }
  append(spans, trimmed(message.content, turn.trim, system), SpecialTokens::ignore);
  append_written(turn.close, spans);
}

Status ChatTemplate::append_turns(std::span<const ChatMessage> messages, GenerationPrompt prompt, std::vector<TextSpan>& spans) const {
  const ChatMessage* system = nullptr;
  const auto homeless = [&] {
    return make_error(Code::invalid_argument, "the template '%s' writes a system message inside the user's turn that follows it; here none follows",
                      std::string(family()).c_str());
  };
  for (const ChatMessage& message : messages) {
    if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles)) {
      return make_error(Code::invalid_argument, "the role '%.40s' is not one of: system, user, assistant", message.role.c_str());
    }
    if (system != nullptr && message.role != "user") return homeless();
    if (message.role == "system" && family_->system_place == SystemPlace::user_turn) {
      system = &message;
      continue;
    }
    append_turn(message, system, spans);
    system = nullptr;
  }
  if (system != nullptr) return homeless();
  if (prompt == GenerationPrompt::add) append_written(family_->generation_prompt, spans);
  return {};
}

Result<std::vector<TextSpan>> ChatTemplate::render(std::span<const ChatMessage> messages, GenerationPrompt prompt) const {
  if (messages.empty()) return make_error(Code::invalid_argument, "the conversation has 0 messages; at least 1 is needed");
  std::vector<TextSpan> spans;
  append_written(begin_, spans);
  if (default_system_ && messages[0].role != "system") append_turn({"system", *default_system_}, nullptr, spans);
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
  append_written(family_->assistant.close, spans);
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
  return tokenizer.encode(spans, TextPosition::continuation);
}

}  // namespace quire
