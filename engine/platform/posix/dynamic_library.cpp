#include "engine/platform/dynamic_library.hpp"

#include <dlfcn.h>

#include <utility>

namespace quire {

Result<DynamicLibrary> DynamicLibrary::open(const std::string& name) {
  void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    return make_error(Code::not_found, "cannot load %s: %s", name.c_str(), reason != nullptr ? reason : "no reason given");
  }
  return DynamicLibrary(handle);
}

DynamicLibrary::DynamicLibrary(DynamicLibrary&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

DynamicLibrary& DynamicLibrary::operator=(DynamicLibrary&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

void* DynamicLibrary::lookup(const char* symbol) const { return handle_ != nullptr ? ::dlsym(handle_, symbol) : nullptr; }

}  // namespace quire
