// A GetLastError value as an Error, and UTF-8 paths as the wide ones that the system takes.
#pragma once

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <string>
#include <system_error>

#include "engine/base/result.hpp"

namespace quire {

inline Error system_error(const char* action, const std::string& path, DWORD reason) {
  const bool absent = reason == ERROR_FILE_NOT_FOUND || reason == ERROR_PATH_NOT_FOUND || reason == ERROR_MOD_NOT_FOUND;
  const Code code = absent ? Code::not_found : reason == ERROR_NOT_ENOUGH_MEMORY ? Code::out_of_host_memory : Code::io;
  return make_error(code, "cannot %s %s: %s", action, path.c_str(), std::system_category().message(static_cast<int>(reason)).c_str());
}

inline Result<std::wstring> wide_path(const std::string& path) {
  if (path.empty()) return make_error(Code::invalid_argument, "the path of the file is empty");
  if (path.find('\0') != std::string::npos) return make_error(Code::invalid_argument, "the path of the file contains a NUL");
  if (path.size() > 32767) return make_error(Code::invalid_argument, "the path has %zu bytes and at most 32767 are possible", path.size());
  const int length = static_cast<int>(path.size());
  const int wide_length = ::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), length, nullptr, 0);
  if (wide_length <= 0) return make_error(Code::invalid_argument, "the path %s is not valid UTF-8", path.c_str());
  std::wstring wide(static_cast<size_t>(wide_length), L'\0');
  ::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), length, wide.data(), wide_length);
  return wide;
}

}  // namespace quire
