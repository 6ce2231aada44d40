// This program run again as a child, and the environment that libraries loaded later will see.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quire_app {

enum class ChildEnd { done, failed, interrupted };

struct ChildResult {
  ChildEnd end = ChildEnd::failed;
  std::string text;   ///< done: what it wrote to stdout; failed: why, in one sentence
};

struct ChildCall {
  std::vector<std::string> arguments;                                 ///< after the program's name
  std::vector<std::pair<std::string, std::string>> environment;       ///< set in the child alone
  std::chrono::milliseconds time_limit{0};                            ///< then it is killed
};

/// Runs this program with nothing on stdin and its messages dropped. done: it exited with 0. interrupted: Ctrl-C was pressed meanwhile; the child has ended.
ChildResult run_this_program(const ChildCall& call);

/// Requires: no other thread runs.
void set_environment(const std::string& name, const std::string& value);

/// The processor's name as the system gives it; "" if it does not.
std::string processor_name();

}  // namespace quire_app
