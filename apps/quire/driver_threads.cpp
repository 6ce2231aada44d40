#include "driver_threads.hpp"

#ifdef __linux__
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>

namespace quire_app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTasks = "/proc/self/task";
/// What lavapipe calls one of the two sorts of its workers; the other, which runs compute shaders, has no name of its own and as many threads.
constexpr const char* kWorkerName = "llvmpipe-";

/// A worker takes its name as it begins to run.
constexpr int kMostReadings = 20;
constexpr std::chrono::milliseconds kBetweenReadings{1};

/// Identifiers of all threads of this process, in the order of their start, which is that of the folder.
std::vector<int> threads() {
  std::vector<int> all;
  std::error_code error;
  for (fs::directory_iterator entry(kTasks, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    int id = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), id).ec == std::errc()) all.push_back(id);
  }
  return all;
}

bool is_worker(int thread) {
  std::ifstream file(fs::path(kTasks) / std::to_string(thread) / "comm");
  std::string name;
  return std::getline(file, name) && name.starts_with(kWorkerName);
}

std::vector<size_t> processors_of(const cpu_set_t& set) {
  std::vector<size_t> processors;
  for (size_t i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) processors.push_back(i);
  return processors;
}

/// A thread that has ended meanwhile needs no place.
bool bind(int thread, const cpu_set_t& set) { return sched_setaffinity(thread, sizeof set, &set) == 0 || errno == ESRCH; }

}  // namespace

DriverThreads::DriverThreads() : before_(threads()) {}

uint32_t DriverThreads::spread() const {
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return 0;
  const std::vector<size_t> processors = processors_of(usable);
  std::vector<int> started;
  size_t workers = 0;
  for (int reading = 0; reading < kMostReadings; ++reading) {
    started = threads();
    std::erase_if(started, [&](int thread) { return std::ranges::find(before_, thread) != before_.end(); });
    workers = static_cast<size_t>(std::ranges::count_if(started, is_worker));
    if (workers == 0 || workers >= processors.size()) break;
    std::this_thread::sleep_for(kBetweenReadings);
  }
  if (workers < 2 || workers != processors.size()) return 0;
  for (size_t i = 0; i < started.size(); ++i) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processors[i % processors.size()], &one);
    if (bind(started[i], one)) continue;
    for (const int thread : started) bind(thread, usable);
    return 0;
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
