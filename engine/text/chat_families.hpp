// ChatFamily: the table of chat templates: how each is known from a model's Jinja text, and what stands around a message.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace quire {

/// Where a system message goes.
enum class SystemPlace : uint8_t {
  own_turn,
  own_turn_always,  ///< an empty one where none is given
  user_turn,        ///< inside the user's next turn, before what the user says
};

/// Whether space around a message is part of it.
enum class Trim : uint8_t {
  nothing,
  both_ends,
  turn,  ///< both ends of all that stands in the turn, a system message before it included
};

/// In all texts kBosName and kEosName stand for the names of the vocabulary's BOS and EOS.
inline constexpr std::string_view kBosName = "{bos}", kEosName = "{eos}";

struct ChatTurn {
  std::string_view open;
  std::string_view close;
  Trim trim = Trim::nothing;
};

struct ChatFamily {
  std::string_view names;                   ///< separated by spaces; the first is its own, the others are what else it is called
  std::array<std::string_view, 3> present;  ///< in the template's text, once its literals are joined (join_literals); "" is in every text
  std::array<std::string_view, 2> absent;   ///< not in it; "" asks for nothing
  ChatTurn system, user, assistant;
  std::string_view generation_prompt;       ///< after the last turn, for the model to go on from
  SystemPlace system_place = SystemPlace::own_turn;

  std::string_view name() const { return names.substr(0, names.find(' ')); }
};

/// A template's text with the escapes of its string literals resolved.
std::string resolve_escapes(std::string_view text);
/// The same, with one kind of quotes, no spaces around +, and literals that are added to each other in one.
std::string join_literals(std::string_view resolved);

/// Null: no row is known by that name.
const ChatFamily* find_chat_family(std::string_view name);
/// `joined`: of join_literals. Null: no row's markers fit.
const ChatFamily* recognise_chat_family(std::string_view joined);
/// The rows' own names, for messages.
std::string chat_family_names();

}  // namespace quire
