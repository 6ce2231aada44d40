#include "model_names.hpp"

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "models_lock.hpp"  // made by CMake from models.lock

namespace quire_app {
namespace fs = std::filesystem;

std::string cache_folder() {
#ifdef _WIN32
  const char* local = std::getenv("LOCALAPPDATA");
  return local != nullptr ? (fs::path(local) / "quire").string() : std::string();
#else
  // The XDG base directory specification: a relative path is to be ignored.
  const char* xdg = std::getenv("XDG_CACHE_HOME");
  if (xdg != nullptr && fs::path(xdg).is_absolute()) return (fs::path(xdg) / "quire").string();
  const char* home = std::getenv("HOME");
  return home != nullptr && *home != '\0' ? (fs::path(home) / ".cache" / "quire").string() : std::string();
#endif
}

Outcome find_model(const std::string& path_or_name, std::string& path) {
  path = path_or_name;
  std::error_code ignored;
  if (fs::exists(path_or_name, ignored)) return {};
  for (const LockedModel& model : kLockedModels) {
    if (path_or_name != model.name) continue;
    path = (fs::path(cache_folder()) / "models" / model.file).string();
    if (fs::exists(path, ignored)) return {};
    return failure(kExitModel, "model '" + path_or_name + "' was not fetched (no file " + path + "): run tools/fetch_model " + path_or_name);
  }
  return {};
}

std::string pipeline_cache_folder() {
  const std::string folder = cache_folder();
  if (folder.empty()) return {};
  const fs::path pipelines = fs::path(folder) / "pipelines";
  std::error_code error;
  fs::create_directories(pipelines, error);
  return error ? std::string() : pipelines.string();
}

}  // namespace quire_app
