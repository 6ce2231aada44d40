// The terminal and the process: what differs between systems.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "outcome.hpp"

namespace quire_app {

enum class Stream { in, out, err };
bool is_terminal(Stream stream);

/// Ctrl-C sets a flag instead of ending the program, and interrupts a read that waits; writing to a closed pipe is an error instead of a signal.
void catch_signals();
/// Whether Ctrl-C was pressed since clear_interrupt.
bool interrupted();
void clear_interrupt();

/// Writes to stdout at once. On error: kExitPipeClosed, kExitRuntime.
Outcome write_out(std::string_view text);

/// All of stdin. On error: kExitRuntime, kExitInterrupted.
Outcome read_all_input(std::string& text);
/// One line without its newline; `ended` at the end of input. On error: kExitInterrupted (Ctrl-C, whatever was typed is dropped), kExitRuntime.
Outcome read_line(std::string& line, bool& ended);

/// Seconds of processor time that the calling thread has used.
double thread_cpu_s();

/// Shows how far something is on stderr while it lives, if stderr is a terminal.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label) : label_(std::move(label)), shown_(is_terminal(Stream::err)) {}
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { clear(); }
  void update(uint64_t done, uint64_t total);
  void clear();

 private:
  std::string label_;
  bool shown_;
  int percent_ = -1;
};

}  // namespace quire_app
