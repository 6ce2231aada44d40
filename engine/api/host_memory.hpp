// HostMemory: the host's allocator callbacks as a memory resource, or the system's memory where it gave none.
#pragma once

#include <cstddef>
#include <memory_resource>

#include "quire/quire.h"

namespace quire::api {

class HostMemory final : public std::pmr::memory_resource {
 public:
  explicit HostMemory(const quire_allocator& callbacks) : callbacks_(callbacks) {}
  HostMemory(const HostMemory& other) : std::pmr::memory_resource(), callbacks_(other.callbacks_) {}
  HostMemory& operator=(const HostMemory&) = delete;

  /// On error: std::bad_alloc, as the standard asks of a memory resource; no entry point lets it out.
  template <class T, class... Args>
  T* create(Args&&... args) {
    return std::pmr::polymorphic_allocator<>(this).new_object<T>(std::forward<Args>(args)...);
  }
  template <class T>
  void destroy(T* object) {
    std::pmr::polymorphic_allocator<>(this).delete_object(object);
  }

 private:
  void* do_allocate(size_t size_bytes, size_t alignment) override;
  void do_deallocate(void* memory, size_t size_bytes, size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  quire_allocator callbacks_;
};

}  // namespace quire::api
