// Small files as a whole: reading with a cap, and replacing so that a reader sees the old content or the new, never half of either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace quire {

/// On error: not_found, io (unreadable or not a regular file), invalid_argument (larger than cap_bytes). An empty file is no error.
Result<std::vector<std::byte>> read_small_file(const std::string& path, uint64_t cap_bytes);

/// Writes a temporary file beside `path` and renames it over `path`. The folder must exist.
/// On error: not_found (no such folder), io; `path` is then as it was and the temporary file is gone.
Status write_file_atomically(const std::string& path, std::span<const std::byte> content);

/// Creates one folder if it is not there; its parent must exist. On error: not_found, io.
Status make_folder(const std::string& path);

}  // namespace quire
