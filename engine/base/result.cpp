#include "engine/base/result.hpp"

#include <cstdarg>
#include <cstdio>

namespace quire {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::ok: return "ok";
    case Code::invalid_argument: return "invalid_argument";
    case Code::unsupported: return "unsupported";
    case Code::not_found: return "not_found";
    case Code::io: return "io";
    case Code::corrupt: return "corrupt";
    case Code::out_of_host_memory: return "out_of_host_memory";
    case Code::out_of_device_memory: return "out_of_device_memory";
    case Code::out_of_pages: return "out_of_pages";
    case Code::context_full: return "context_full";
    case Code::device_lost: return "device_lost";
    case Code::timeout: return "timeout";
    case Code::cancelled: return "cancelled";
    case Code::busy: return "busy";
    case Code::non_finite: return "non_finite";
    case Code::internal: return "internal";
  }
  return "unknown";
}

Error make_error(Code code, const char* format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return Error{code, text};
}

}  // namespace quire
