// Result<T> and Status: how every fallible call of the library answers. Nothing here throws.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace quire {

/// What went wrong, in the few kinds a caller can act on. The C ABI uses the same values (quire_status).
enum class Code : uint32_t {
  ok = 0,
  invalid_argument = 1,       ///< the caller asked for something that has no meaning (a bad option, id or size)
  unsupported = 2,            ///< meaningful, but not on this device, build or version
  not_found = 3,              ///< a file, device or name that does not exist
  io = 4,                     ///< reading or writing failed
  corrupt = 5,                ///< a file's content breaks its format's rules
  out_of_host_memory = 6,
  out_of_device_memory = 7,
  out_of_pages = 8,           ///< the cache budget is used up; the sequence that asked is unchanged
  context_full = 9,           ///< the model's context length is reached
  device_lost = 10,           ///< sticky: every later call on that device answers the same
  timeout = 11,
  cancelled = 12,
  busy = 13,                  ///< the object is part of a step that has begun and not finished
  non_finite = 14,            ///< a computation produced NaN or infinity
  internal = 15,              ///< a broken invariant of the library itself
};

std::string_view code_name(Code code);

/// A code and one sentence that names the value and the bound.
struct Error {
  Code code = Code::internal;
  std::string message;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  /// Requires: ok().
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  /// Requires: !ok().
  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }
  Code code() const { return ok() ? Code::ok : error().code; }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}
  bool ok() const { return error_.code == Code::ok; }
  explicit operator bool() const { return ok(); }
  Code code() const { return error_.code; }
  Error& error() & { return error_; }
  const Error& error() const& { return error_; }
  Error&& error() && { return std::move(error_); }

 private:
  Error error_{Code::ok, {}};
};

/// printf-formatted Error.
[[gnu::format(printf, 2, 3)]] Error make_error(Code code, const char* format, ...);

#define QUIRE_CONCAT_INNER(a, b) a##b
#define QUIRE_CONCAT(a, b) QUIRE_CONCAT_INNER(a, b)
/// QUIRE_TRY(expr): returns the error of a Status or Result from the calling function.
#define QUIRE_TRY(expr)                                              \
  do {                                                               \
    if (auto quire_try_ = (expr); !quire_try_.ok()) return std::move(quire_try_).error(); \
  } while (0)
/// QUIRE_ASSIGN(auto x, expr): the value of a Result, or returns its error.
#define QUIRE_ASSIGN(decl, expr)                                            \
  auto QUIRE_CONCAT(quire_result_, __LINE__) = (expr);                      \
  if (!QUIRE_CONCAT(quire_result_, __LINE__).ok()) return std::move(QUIRE_CONCAT(quire_result_, __LINE__)).error(); \
  decl = std::move(QUIRE_CONCAT(quire_result_, __LINE__)).value()

}  // namespace quire
