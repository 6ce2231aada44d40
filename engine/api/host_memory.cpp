#include "engine/api/host_memory.hpp"

#include <new>

namespace quire::api {

void* HostMemory::do_allocate(size_t size_bytes, size_t alignment) {
  if (callbacks_.allocate == nullptr) return ::operator new(size_bytes, std::align_val_t{alignment});
  void* memory = callbacks_.allocate(callbacks_.user, size_bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void HostMemory::do_deallocate(void* memory, size_t size_bytes, size_t alignment) {
  if (callbacks_.deallocate == nullptr)
    ::operator delete(memory, size_bytes, std::align_val_t{alignment});
  else
    callbacks_.deallocate(callbacks_.user, memory, size_bytes, alignment);
}

}  // namespace quire::api
