#include "json.hpp"

#include <istream>

namespace quire_app {

std::string json_text(const Json& value, int indent) { return value.dump(indent, ' ', false, Json::error_handler_t::replace); }

Json parse_json(const std::string& text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

Json parse_json(std::istream& stream) { return Json::parse(stream, nullptr, /*allow_exceptions=*/false); }

}  // namespace quire_app
