// What stands between a C caller and the library: sized structs in and out, errors kept on handles, and nothing thrown across.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>

#include "engine/base/result.hpp"
#include "quire/quire.h"

namespace quire::api {

/// The last error of a handle. Storing one allocates nothing.
class ErrorSlot {
 public:
  const char* message() const { return message_; }
  quire_status set(Code code, const char* message) noexcept {
    // memmove: a message may be copied between handles, and from a slot to itself.
    const size_t length = std::min(std::strlen(message), sizeof message_ - 1);
    std::memmove(message_, message, length);
    message_[length] = '\0';
    return static_cast<quire_status>(code);
  }
  quire_status set(const Error& error) noexcept { return set(error.code, error.message.c_str()); }

 private:
  char message_[1024] = "";
};

/// Runs `body`, which returns a Status, and keeps its error. The only place where exceptions (of the standard library) are caught.
template <class Body>
quire_status guarded(ErrorSlot& slot, Body&& body) noexcept {
  try {
    const Status status = body();
    return status.ok() ? QUIRE_OK : slot.set(status.error());
  } catch (const std::bad_alloc&) {
    return slot.set(Code::out_of_host_memory, "there is not enough host memory for this call");
  } catch (const std::exception& exception) {
    return slot.set(Code::internal, exception.what());
  } catch (...) {
    return slot.set(Code::internal, "an exception of unknown type was thrown");
  }
}

/// No option struct of any version is larger: a larger struct_size is an uninitialised one.
inline constexpr size_t kMaxStructBytes = 4096;

/// A caller's option struct of any version as this version's: missing fields are zero. Null: all zero.
/// On error: invalid_argument (struct_size), unsupported (a newer struct that sets fields this version does not know).
template <class T>
Result<T> read_struct(const T* given, const char* type_name) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  if (given == nullptr) return value;
  const size_t size = given->struct_size;
  if (size < sizeof(size_t) || size > kMaxStructBytes)
    return make_error(Code::invalid_argument, "%s.struct_size is %zu; it must be sizeof(%s), which is %zu here", type_name, size, type_name, sizeof(T));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > sizeof(T) && std::any_of(bytes + sizeof(T), bytes + size, [](unsigned char byte) { return byte != 0; }))
    return make_error(Code::unsupported, "%s of %zu bytes sets fields that this version, which knows %zu bytes, does not have", type_name, size, sizeof(T));
  std::memcpy(&value, given, std::min(size, sizeof(T)));
  value.struct_size = sizeof(T);
  return value;
}

/// Fills a caller's result struct as far as it reaches; fields of a newer version become zero. On error: invalid_argument.
template <class T>
Status write_struct(T* out, T value, const char* type_name) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (out == nullptr) return make_error(Code::invalid_argument, "the %s to fill is null", type_name);
  const size_t size = out->struct_size;
  if (size < sizeof(size_t) || size > kMaxStructBytes)
    return make_error(Code::invalid_argument, "%s.struct_size is %zu; it must be sizeof(%s), which is %zu here", type_name, size, type_name, sizeof(T));
  auto* bytes = reinterpret_cast<unsigned char*>(out);
  std::memcpy(bytes, &value, std::min(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(bytes + sizeof(T), 0, size - sizeof(T));
  out->struct_size = size;
  return {};
}

/// A result of unknown length into a caller's buffer (quire.h, "Results of unknown length"). On error: invalid_argument.
template <class T>
Status write_array(std::span<const T> values, T* out, size_t capacity, size_t* count) {
  if (count == nullptr) return make_error(Code::invalid_argument, "the count to fill is null");
  *count = values.size();
  if (out == nullptr && capacity == 0) return {};
  if (out == nullptr) return make_error(Code::invalid_argument, "the buffer is null but has a capacity of %zu", capacity);
  if (capacity < values.size())
    return make_error(Code::invalid_argument, "the buffer has room for %zu of %zu elements", capacity, values.size());
  std::copy(values.begin(), values.end(), out);
  return {};
}

}  // namespace quire::api
