// JSON as the program writes and reads it.
#pragma once

#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>

namespace quire_app {

/// Keeps the order in which keys were written.
using Json = nlohmann::ordered_json;

/// Text that is not UTF-8 gets U+FFFD. Indent -1: on one line.
std::string json_text(const Json& value, int indent = -1);
/// On error: a value that is_discarded().
Json parse_json(const std::string& text);
Json parse_json(std::istream& stream);

}  // namespace quire_app
