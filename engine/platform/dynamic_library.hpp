// A shared library opened at run time (the Vulkan loader), closed with its owner.
#pragma once

#include <string>

#include "engine/base/result.hpp"

namespace quire {

class DynamicLibrary {
 public:
  /// `name` is a file name that the system's search finds, or a path. On error: not_found (with the system's reason).
  static Result<DynamicLibrary> open(const std::string& name);
  DynamicLibrary(DynamicLibrary&& other) noexcept;
  DynamicLibrary& operator=(DynamicLibrary&& other) noexcept;
  ~DynamicLibrary();

  /// The address of a function or object, null if the library has none of that name. Valid while this object lives.
  void* lookup(const char* symbol) const;

 private:
  explicit DynamicLibrary(void* handle) : handle_(handle) {}
  void* handle_ = nullptr;
};

}  // namespace quire
