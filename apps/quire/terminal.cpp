#include "terminal.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#ifdef _WIN32
#include <io.h>
#include <windows.h>
#else
#include <ctime>
#include <unistd.h>
#endif

namespace quire_app {
namespace {

std::atomic<bool> interrupt_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

extern "C" void on_interrupt(int signal_number) {
  interrupt_requested.store(true);
#ifdef _WIN32
  std::signal(signal_number, on_interrupt);  // Windows resets it
#else
  static_cast<void>(signal_number);
#endif
}

Outcome read_failure() { return failure(kExitRuntime, std::string("cannot read standard input: ") + std::strerror(errno)); }

/// One character of stdin, or EOF: at the end, on an error, or when Ctrl-C interrupts the wait.
int read_character() {
  errno = 0;
  const int c = std::getc(stdin);
  if (c == EOF && std::ferror(stdin) != 0 && errno == EINTR) std::clearerr(stdin);
  return c;
}

}  // namespace

bool is_terminal(Stream stream) {
  const int descriptor = stream == Stream::in ? 0 : stream == Stream::out ? 1 : 2;
#ifdef _WIN32
  return _isatty(descriptor) != 0;
#else
  return isatty(descriptor) != 0;
#endif
}

void catch_signals() {
#ifdef _WIN32
  std::signal(SIGINT, on_interrupt);
#else
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a read that waits for the user is to end
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
#endif
}

bool interrupted() { return interrupt_requested.load(); }
void clear_interrupt() { interrupt_requested.store(false); }

Outcome write_out(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return {};
  if (errno == EPIPE) return failure(kExitPipeClosed, "");
  return failure(kExitRuntime, std::string("cannot write to standard output: ") + std::strerror(errno));
}

Outcome read_all_input(std::string& text) {
  text.clear();
  char block[65536];
  while (true) {
    errno = 0;
    const size_t count = std::fread(block, 1, sizeof block, stdin);
    text.append(block, count);
    if (interrupted()) return failure(kExitInterrupted, "interrupted");
    if (std::ferror(stdin) != 0) return read_failure();
    if (std::feof(stdin) != 0) return {};
  }
}

Outcome read_line(std::string& line, bool& ended) {
  line.clear();
  ended = false;
  while (true) {
    const int c = read_character();
    if (interrupted()) return failure(kExitInterrupted, "interrupted");
    if (c == EOF && std::ferror(stdin) != 0) return read_failure();
    if (c == EOF) {
      ended = line.empty();
      return {};
    }
    if (c == '\n') return {};
    line.push_back(static_cast<char>(c));
  }
}

double thread_cpu_s() {
#ifdef _WIN32
  FILETIME created, ended, kernel, user;
  if (GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user) == 0) return 0;
  const auto ticks = [](const FILETIME& time) { return static_cast<double>((uint64_t{time.dwHighDateTime} << 32) | time.dwLowDateTime); };
  return (ticks(kernel) + ticks(user)) * 1e-7;
#else
  timespec time{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
#endif
}

void ProgressBar::update(uint64_t done, uint64_t total) {
  constexpr int kWidth = 30;
  if (!shown_ || total == 0) return;
  const int percent = static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total));
  if (percent == percent_) return;
  percent_ = percent;
  const int filled = percent * kWidth / 100;
  std::fprintf(stderr, "\r%s [%.*s%*s] %3d %%", label_.c_str(), filled, "##############################", kWidth - filled, "", percent);
  std::fflush(stderr);
}

void ProgressBar::clear() {
  if (shown_ && percent_ >= 0) std::fputs("\r\033[K", stderr);
  percent_ = -1;
}

}  // namespace quire_app
