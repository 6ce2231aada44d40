// An errno as an Error.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

#include "engine/base/result.hpp"

namespace quire {

inline Error system_error(const char* action, const std::string& path, int reason) {
  const Code code = reason == ENOENT || reason == ENOTDIR ? Code::not_found : reason == ENOMEM ? Code::out_of_host_memory : Code::io;
  return make_error(code, "cannot %s %s: %s", action, path.c_str(), std::generic_category().message(reason).c_str());
}

}  // namespace quire
