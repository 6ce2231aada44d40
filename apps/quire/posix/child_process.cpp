#include "child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "terminal.hpp"

extern char** environ;

namespace quire_app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostOutputBytes = 65536;

std::string own_path() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  return length > 0 && static_cast<size_t>(length) < sizeof path ? std::string(path, static_cast<size_t>(length)) : std::string();
}

std::vector<std::string> environment_of(const ChildCall& call) {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const bool replaced = std::any_of(call.environment.begin(), call.environment.end(), [&](const auto& pair) {
      return std::strncmp(*entry, pair.first.c_str(), pair.first.size()) == 0 && (*entry)[pair.first.size()] == '=';
    });
    if (!replaced) entries.emplace_back(*entry);
  }
  for (const auto& [name, value] : call.environment) entries.push_back(name + "=" + value);
  return entries;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

/// The child's id, or an error number below 0. Its stdout is `write_end`.
pid_t start(const std::string& path, const ChildCall& call, int write_end) {
  std::vector<std::string> arguments = {path};
  arguments.insert(arguments.end(), call.arguments.begin(), call.arguments.end());
  std::vector<std::string> environment = environment_of(call);
  posix_spawn_file_actions_t actions;
  if (const int error = posix_spawn_file_actions_init(&actions); error != 0) return -error;
  int error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, write_end, 1);
  if (error == 0) error = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  if (error == 0) error = posix_spawn(&child, path.c_str(), &actions, nullptr, pointers(arguments).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? child : -error;
}

enum class Reading { ended, late, too_much, interrupted };

Reading read_until_closed(int descriptor, Clock::time_point deadline, std::string& text) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (interrupted()) return Reading::interrupted;
    if (left <= 0) return Reading::late;
    pollfd ready = {descriptor, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(std::min<long long>(left, 1000))) <= 0) continue;
    char block[4096];
    const ssize_t got = ::read(descriptor, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Reading::ended;
    text.append(block, static_cast<size_t>(got));
    if (text.size() > kMostOutputBytes) return Reading::too_much;
  }
}

}  // namespace

ChildResult run_this_program(const ChildCall& call) {
  const std::string path = own_path();
  if (path.empty()) return {ChildEnd::failed, "the system does not tell this program's own path"};
  int ends[2];
  if (::pipe(ends) != 0) return {ChildEnd::failed, std::string("no pipe: ") + std::strerror(errno)};
  for (const int end : ends) ::fcntl(end, F_SETFD, FD_CLOEXEC);
  const pid_t child = start(path, call, ends[1]);
  ::close(ends[1]);
  if (child < 0) {
    ::close(ends[0]);
    return {ChildEnd::failed, std::string("cannot start a child process: ") + std::strerror(-child)};
  }
  ChildResult result;
  const Reading reading = read_until_closed(ends[0], Clock::now() + call.time_limit, result.text);
  ::close(ends[0]);
  if (reading != Reading::ended) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  switch (reading) {
    case Reading::interrupted: return {ChildEnd::interrupted, ""};
    case Reading::late: return {ChildEnd::failed, "it took too long"};
    case Reading::too_much: return {ChildEnd::failed, "it wrote more than " + std::to_string(kMostOutputBytes) + " bytes"};
    case Reading::ended: break;
  }
  if (interrupted()) return {ChildEnd::interrupted, ""};
  if (WIFSIGNALED(status)) return {ChildEnd::failed, "it was ended by signal " + std::to_string(WTERMSIG(status))};
  if (WEXITSTATUS(status) != 0) return {ChildEnd::failed, "it ended with exit code " + std::to_string(WEXITSTATUS(status))};
  result.end = ChildEnd::done;
  return result;
}

void set_environment(const std::string& name, const std::string& value) { ::setenv(name.c_str(), value.c_str(), 1); }

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
    return begin == std::string::npos ? std::string() : line.substr(begin);
  }
  return {};
}

}  // namespace quire_app
