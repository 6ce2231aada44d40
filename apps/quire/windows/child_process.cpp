// Not supported on Windows yet: nothing is measured in a child there, so that every default stays.
#include "child_process.hpp"

#include <cstdlib>

namespace quire_app {

ChildResult run_this_program(const ChildCall&) { return {ChildEnd::failed, "child processes are not supported on Windows"}; }

void set_environment(const std::string& name, const std::string& value) { _putenv_s(name.c_str(), value.c_str()); }

std::string processor_name() {
  const char* name = std::getenv("PROCESSOR_IDENTIFIER");
  return name != nullptr ? name : "";
}

}  // namespace quire_app
