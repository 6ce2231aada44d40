// Names of models.lock and the user's cache folder.
#pragma once

#include <string>

#include "outcome.hpp"

namespace quire_app {

/// $XDG_CACHE_HOME/quire or ~/.cache/quire (Windows: %LOCALAPPDATA%\quire); empty if there is no home.
std::string cache_folder();

/// The path of a model given as a path or as a name of models.lock. A file of that name in the current folder wins.
/// On error: kExitModel (the name is known, but the file was not fetched).
Outcome find_model(const std::string& path_or_name, std::string& path);

/// The folder for compiled pipelines, made if needed; empty if there can be none.
std::string pipeline_cache_folder();

}  // namespace quire_app
