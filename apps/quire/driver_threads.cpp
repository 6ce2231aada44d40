#include "driver_threads.hpp"

#ifdef __linux__
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace quire_app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTasks = "/proc/self/task";
/// What lavapipe calls one of the two sorts of its workers; the other, which runs compute shaders, has no name of its own and as many threads.
constexpr const char* kWorkerName = "llvmpipe-";

/// Identifiers of all threads of this process, the oldest first.
std::vector<int> threads() {
  std::vector<int> all;
  std::error_code error;
  for (fs::directory_iterator entry(kTasks, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    int id = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), id).ec == std::errc()) all.push_back(id);
  }
  std::sort(all.begin(), all.end());
  return all;
}

bool is_worker(int thread) {
  std::ifstream file(fs::path(kTasks) / std::to_string(thread) / "comm");
  std::string name;
  return std::getline(file, name) && name.starts_with(kWorkerName);
}

}  // namespace

DriverThreads::DriverThreads() : before_(threads()) {}

uint32_t DriverThreads::spread() const {
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return 0;
  std::vector<size_t> processors;
  for (size_t i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &usable)) processors.push_back(i);
  std::vector<int> started;
  std::ranges::set_difference(threads(), before_, std::back_inserter(started));
  const auto workers = static_cast<size_t>(std::ranges::count_if(started, is_worker));
  if (workers < 2 || workers != processors.size()) return 0;
  for (size_t i = 0; i < started.size(); ++i) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processors[i % processors.size()], &one);
    if (sched_setaffinity(started[i], sizeof one, &one) != 0) return 0;
  }
  return static_cast<uint32_t>(workers);
}

}  // namespace quire_app

#else

namespace quire_app {

DriverThreads::DriverThreads() = default;
uint32_t DriverThreads::spread() const { return 0; }

}  // namespace quire_app

#endif
