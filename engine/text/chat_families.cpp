#include "engine/text/chat_families.hpp"

#include <algorithm>

namespace quire {
namespace {

/// The rows' order matters where one's markers are also another's. Texts are those of the models' own templates:
/// llama-2 of Llama 2 Chat, llama-3 of Llama 3 Instruct, llama-3.1 of Llama 3.1 and 3.2 (with the date that their templates name when nobody tells
/// them today's), gemma of Gemma 1 to 3 (3 is the one that takes a system message), phi-3 of Phi 3 and 3.5, zephyr also of TinyLlama Chat;
/// mistral-v0.1 and v0.2 of these models' first releases, v1, v3 and v3-tekken after the versions of Mistral's tokenizers.
/// Mistral's later templates move the system message to the last user turn; it stays in the first one here, so that a timeline can be continued.
constexpr std::array kFamilies = std::to_array<ChatFamily>({
    {"chatml", {"<|im_start|>", "<|im_end|>", "add_generation_prompt"}, {},
     {"<|im_start|>system\n", "<|im_end|>\n"}, {"<|im_start|>user\n", "<|im_end|>\n"}, {"<|im_start|>assistant\n", "<|im_end|>\n"},
     "<|im_start|>assistant\n"},
    {"llama-3.1", {"<|start_header_id|>", "<|eot_id|>", "Cutting Knowledge Date: December 2023"}, {},
     {"<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n", "<|eot_id|>", Trim::both_ends},
     {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>", Trim::both_ends},
     {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", Trim::both_ends},
     "<|start_header_id|>assistant<|end_header_id|>\n\n", SystemPlace::own_turn_always},
    {"llama-3 llama3", {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}, {},
     {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>", Trim::both_ends},
     {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>", Trim::both_ends},
     {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", Trim::both_ends},
     "<|start_header_id|>assistant<|end_header_id|>\n\n"},
    {"gemma", {"<start_of_turn>", "<end_of_turn>\n", "model"}, {},
     {"", "\n\n"}, {"<start_of_turn>user\n", "<end_of_turn>\n", Trim::both_ends}, {"<start_of_turn>model\n", "<end_of_turn>\n", Trim::both_ends},
     "<start_of_turn>model\n", SystemPlace::user_turn},
    {"phi-3 phi3", {"<|assistant|>\n", "<|end|>\n"}, {"[INST]", "<|im_start|>"},
     {"<|system|>\n", "<|end|>\n"}, {"<|user|>\n", "<|end|>\n"}, {"<|assistant|>\n", "<|end|>\n"}, "<|assistant|>\n"},
    {"zephyr", {"'<|user|>\n'+message['content']+eos_token", "'<|assistant|>\n'+message['content']+eos_token", "add_generation_prompt"}, {"<|end|>"},
     {"<|system|>\n", "{eos}\n"}, {"<|user|>\n", "{eos}\n"}, {"<|assistant|>\n", "{eos}\n"}, "<|assistant|>\n"},
    {"llama-2 llama2", {"bos_token+'[INST] '", "' [/INST]'", "<<SYS>>\n"}, {},
     {"<<SYS>>\n", "\n<</SYS>>\n\n"}, {"{bos}[INST] ", " [/INST]", Trim::turn}, {" ", " {eos}", Trim::both_ends}, "", SystemPlace::user_turn},
    {"mistral-v1 mistral", {"' [INST] '", "' [/INST]'"}, {"<<SYS>>", "[SYSTEM_PROMPT]"},
     {"", "\n\n"}, {" [INST] ", " [/INST]"}, {" ", "{eos}"}, "", SystemPlace::user_turn},
    {"mistral-v3-tekken", {"'[INST]'", "'[/INST]'"}, {"<<SYS>>", "[SYSTEM_PROMPT]"},
     {"", "\n\n"}, {"[INST]", "[/INST]"}, {"", "{eos}"}, "", SystemPlace::user_turn},
    {"mistral-v3", {"'[INST] '", "'[/INST]'"}, {"<<SYS>>", "[SYSTEM_PROMPT]"},
     {"", "\n\n"}, {"[INST] ", "[/INST]"}, {" ", "{eos}", Trim::both_ends}, "", SystemPlace::user_turn},
    {"mistral-v0.1", {"'[INST] '", "' [/INST]'", "message['content']+eos_token+' '"}, {"<<SYS>>", "bos_token+'[INST]"},
     {"", "\n\n"}, {"[INST] ", " [/INST]"}, {"", "{eos} "}, "", SystemPlace::user_turn},
    {"mistral-v0.2", {"'[INST] '", "' [/INST]'", "message['content']+eos_token"}, {"<<SYS>>", "bos_token+'[INST]"},
     {"", "\n\n"}, {"[INST] ", " [/INST]"}, {"", "{eos}"}, "", SystemPlace::user_turn},
});

bool fits(const ChatFamily& family, std::string_view joined) {
  const auto found = [&](std::string_view marker) { return joined.find(marker) != joined.npos; };
  return std::all_of(family.present.begin(), family.present.end(), found) &&
         std::none_of(family.absent.begin(), family.absent.end(), [&](std::string_view marker) { return !marker.empty() && found(marker); });
}

}  // namespace

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

std::string join_literals(std::string_view resolved) {
  std::string joined;
  for (size_t i = 0; i < resolved.size(); ++i) {
    const char c = resolved[i] == '"' ? '\'' : resolved[i];
    if (c == ' ' && joined.ends_with('+')) continue;
    if (c == '+') {
      while (joined.ends_with(' ')) joined.pop_back();
    }
    if (c == '\'' && joined.ends_with("'+")) {
      joined.resize(joined.size() - 2);
    } else {
      joined += c;
    }
  }
  return joined;
}

const ChatFamily* find_chat_family(std::string_view name) {
  for (const ChatFamily& family : kFamilies) {
    for (std::string_view rest = family.names; !rest.empty();) {
      const size_t end = std::min(rest.find(' '), rest.size());
      if (rest.substr(0, end) == name) return &family;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return nullptr;
}

const ChatFamily* recognise_chat_family(std::string_view joined) {
  const auto family = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const ChatFamily& f) { return fits(f, joined); });
  return family != kFamilies.end() ? &*family : nullptr;
}

std::string chat_family_names() {
  std::string names;
  for (const ChatFamily& family : kFamilies) names += (names.empty() ? "" : ", ") + std::string(family.name());
  return names;
}

}  // namespace quire
