// What the opaque handles hold. A child counts itself in its parent, so that a parent cannot be freed before it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_budget.hpp"
#include "engine/api/boundary.hpp"
#include "engine/api/host_memory.hpp"
#include "engine/device/device.hpp"
#include "engine/generate/model.hpp"
#include "engine/generate/session.hpp"
#include "engine/text/stream_decoder.hpp"

namespace quire::api {

struct Logger {
  quire_log_function function = nullptr;
  void* user = nullptr;
  void write(quire_log_level level, const char* message) const {
    if (function != nullptr) function(user, level, message);
  }
};

/// Frees a handle whose memory came from `memory`, which may itself be part of the handle.
template <class Handle>
void destroy_handle(HostMemory memory, Handle* handle) {
  memory.destroy(handle);
}

/// The sources that quire_source can name. On error: invalid_argument, not_found, io.
Result<std::shared_ptr<ByteSource>> open_source(const quire_source* source);

/// On error: invalid_argument (a value that names no format).
Result<PageFormats> page_formats(quire_page_format k, quire_page_format v);

/// All but the pages held.
quire_cache_group describe_group(const CacheGroup& group);
/// On error: invalid_argument.
Status check_group_index(size_t index, size_t count);

}  // namespace quire::api

struct quire_engine {
  explicit quire_engine(const quire::api::HostMemory& host_memory) : memory(host_memory) {}
  quire::api::HostMemory memory;
  quire::api::ErrorSlot error;
  quire::api::Logger logger;
  std::optional<quire::Device> device;
  std::optional<quire::CacheBudget> budget;  ///< shared by all models, if the options named one
  quire::VariantSet variants;
  std::string variants_text;
  bool timestamps = false;
  size_t children = 0;
};

struct quire_file {
  explicit quire_file(quire_engine& owner) : engine(owner) { ++engine.children; }
  ~quire_file() { --engine.children; }
  quire_engine& engine;
  quire::api::ErrorSlot error;
  quire::GgufFile gguf;
  std::vector<std::string> tensor_types;
  std::string key, type, value;              ///< what quire_file_metadata handed out last
};

struct quire_model {
  quire_model(quire_engine& owner, std::unique_ptr<quire::Model> opened) : engine(owner), model(std::move(opened)) { ++engine.children; }
  ~quire_model() { --engine.children; }
  quire_engine& engine;
  quire::api::ErrorSlot error;
  std::unique_ptr<quire::Model> model;
  std::string name, chat_template, variants;
  size_t children = 0;
};

struct quire_session {
  quire_session(quire_model& owner, std::unique_ptr<quire::Session> created, quire::PageFormats new_pages)
      : model(owner), session(std::move(created)), formats(new_pages) {
    ++model.children;
  }
  ~quire_session() { --model.children; }
  quire_model& model;
  quire::api::ErrorSlot error;
  std::unique_ptr<quire::Session> session;
  quire::PageFormats formats;
  std::atomic<bool> cancel_requested = false;
  bool in_step = false;
};

struct quire_step {
  quire_step(const quire::api::HostMemory& host_memory, quire::Step begun, std::span<quire_session* const> given)
      : memory(host_memory), step(std::move(begun)), sessions(&memory) {
    sessions.reserve(given.size());
    for (quire_session* session : given)
      if (session->session->in_step()) sessions.push_back(session);
  }
  quire::api::HostMemory memory;             ///< a copy: once finished, a step may outlive its engine
  quire::api::ErrorSlot error;
  std::optional<quire::Step> step;           ///< empty once finished or cancelled
  std::pmr::vector<quire_session*> sessions; ///< marked in_step
};

struct quire_decoder {
  quire_decoder(quire_model& owner) : model(owner), decoder(owner.model->tokenizer()) { ++model.children; }
  ~quire_decoder() { --model.children; }
  quire_model& model;
  quire::api::ErrorSlot error;
  quire::StreamDecoder decoder;
  std::string text;                          ///< what was handed out last
};
