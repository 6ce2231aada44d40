#include "engine/platform/windows/system_error.hpp"

#include <utility>

#include "engine/platform/dynamic_library.hpp"

namespace quire {

Result<DynamicLibrary> DynamicLibrary::open(const std::string& name) {
  QUIRE_ASSIGN(const std::wstring wide, wide_path(name));
  // Never the current folder: a library planted there must not be loaded.
  const HMODULE handle = ::LoadLibraryExW(wide.c_str(), nullptr, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
  if (handle == nullptr) return system_error("load", name, ::GetLastError());
  return DynamicLibrary(static_cast<void*>(handle));
}

DynamicLibrary::DynamicLibrary(DynamicLibrary&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

DynamicLibrary& DynamicLibrary::operator=(DynamicLibrary&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) ::FreeLibrary(static_cast<HMODULE>(handle_));
}

void* DynamicLibrary::lookup(const char* symbol) const {
  if (handle_ == nullptr) return nullptr;
  return reinterpret_cast<void*>(::GetProcAddress(static_cast<HMODULE>(handle_), symbol));
}

}  // namespace quire
