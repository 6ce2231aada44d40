// quire.hpp: quire.h with owners and values for C++17 and later. Header-only and thin: every call is one call of the C interface, where the
// contracts are written. Nothing throws on its own account; a failed call answers its quire_status, and the owner's error() has the sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "quire/quire.h"

namespace quire_cpp {

/// Owns a handle. A parent must outlive its children: declare the engine first, then its model, then its sessions.
template <class T, auto Free>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T* handle) : handle_(handle) {}
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      release();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Handle() { release(); }

  T* get() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }
  /// Where a create function puts its result; what was owned before is freed.
  T** out() {
    release();
    return &handle_;
  }

 private:
  void release() {
    if (handle_ != nullptr) static_cast<void>(Free(handle_));
    handle_ = nullptr;
  }
  T* handle_ = nullptr;
};

using Engine = Handle<quire_engine, quire_engine_free>;
using File = Handle<quire_file, quire_file_free>;
using Model = Handle<quire_model, quire_model_free>;
using Session = Handle<quire_session, quire_session_free>;
using Step = Handle<quire_step, quire_step_free>;
using Decoder = Handle<quire_decoder, quire_decoder_free>;

/// A zeroed option or result struct with its size filled in.
template <class T>
T sized() {
  T value{};
  value.struct_size = sizeof(T);
  return value;
}

inline std::string_view last_error(const Engine& engine) { return quire_engine_last_error(engine.get()); }
inline std::string_view last_error(const File& file) { return quire_file_last_error(file.get()); }
inline std::string_view last_error(const Model& model) { return quire_model_last_error(model.get()); }
inline std::string_view last_error(const Session& session) { return quire_session_last_error(session.get()); }
inline std::string_view last_error(const Step& step) { return quire_step_last_error(step.get()); }
inline std::string_view last_error(const Decoder& decoder) { return quire_decoder_last_error(decoder.get()); }

/// quire_model_tokenize into a vector.
inline quire_status tokenize(const Model& model, std::string_view text, uint32_t flags, std::vector<uint32_t>& tokens) {
  size_t count = 0;
  quire_status status = quire_model_tokenize(model.get(), text.data(), text.size(), flags, nullptr, 0, &count);
  if (status != QUIRE_OK) return status;
  tokens.resize(count);
  return quire_model_tokenize(model.get(), text.data(), text.size(), flags, tokens.data(), tokens.size(), &count);
}

/// quire_model_apply_template into a vector.
inline quire_status apply_template(const Model& model, const std::vector<quire_message>& messages, size_t from, std::vector<uint32_t>& tokens) {
  size_t count = 0;
  quire_status status = quire_model_apply_template(model.get(), messages.data(), messages.size(), from, nullptr, 0, &count);
  if (status != QUIRE_OK) return status;
  tokens.resize(count);
  return quire_model_apply_template(model.get(), messages.data(), messages.size(), from, tokens.data(), tokens.size(), &count);
}

}  // namespace quire_cpp
