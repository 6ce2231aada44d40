#include "engine/generate/session.hpp"

#include <algorithm>
#include <cstring>

#include "engine/generate/session_impl.hpp"

namespace quire {
namespace {

constexpr std::chrono::seconds kReadBackTimeout{60};

Error non_finite_error(uint32_t count, uint32_t vocabulary) { return make_error(Code::non_finite, "%u of %u logits are not finite", count, vocabulary); }

}  // namespace

void Session::Impl::forget_results() {
  result_length = 0;
  host_positions = 0;
  host_logits.clear();
}

Status Session::Impl::check_results() const {
  if (has_results()) return {};
  return make_error(Code::invalid_argument, "no results: %zu of %zu tokens are computed and the newest results belong to %u", size_t{computed},
                    tokens.size(), result_length);
}

Status read_back(Device& device, BufferSlice source, std::span<std::byte> destination) {
  QUIRE_ASSIGN(Buffer readback, device.create_buffer(source.size_bytes, BufferUse::readback, "read back"));
  Encoder encoder = device.encoder();
  QUIRE_TRY(encoder.copy(source, readback.slice()));
  QUIRE_ASSIGN(const uint64_t value, device.submit(std::move(encoder)));
  QUIRE_TRY(device.wait(value, kReadBackTimeout));
  std::memcpy(destination.data(), readback.mapped().data(), destination.size());
  return {};
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Session::~Session() {
  Model::Impl& model = impl_->model->impl();
  model.cache->free_sequence(impl_->sequence, model.device->last_submitted());
}

Result<std::unique_ptr<Session>> Session::create(Model& model, const SessionOptions& options) {
  Model::Impl& owner = model.impl();
  auto impl = std::make_unique<Impl>();
  impl->model = &model;
  impl->options = options;
  const uint64_t logits_bytes = uint64_t{owner.hyper.vocabulary_size} * sizeof(float);
  QUIRE_ASSIGN(impl->newest_logits, owner.device->create_buffer(logits_bytes, BufferUse::device, "session logits"));
  const std::vector<PageFormats> formats(owner.groups.size(), options.formats);
  QUIRE_ASSIGN(impl->sequence, owner.cache->create_sequence(formats));
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

Status Session::append(std::span<const uint32_t> tokens, Phase phase) {
  const Model::Impl& model = impl_->model->impl();
  if (impl_->in_step) return make_error(Code::busy, "the session is part of a step that has not finished");
  for (const uint32_t token : tokens)
    if (token >= model.hyper.vocabulary_size)
      return make_error(Code::invalid_argument, "token id %u is outside the vocabulary of %u", token, model.hyper.vocabulary_size);
  const size_t room = model.context_length - impl_->tokens.size();
  if (tokens.size() > room)
    return make_error(Code::context_full, "%zu tokens do not fit: %zu of the context of %u are used", tokens.size(), impl_->tokens.size(),
                      model.context_length);
  if (tokens.empty()) return {};
  impl_->tokens.reserve(impl_->tokens.size() + tokens.size());
  impl_->phases.reserve(impl_->phases.size() + tokens.size());
  impl_->tokens.insert(impl_->tokens.end(), tokens.begin(), tokens.end());
  impl_->phases.insert(impl_->phases.end(), tokens.size(), phase);
  impl_->request = impl_->next_request;
  impl_->forget_results();
  return {};
}

Status Session::truncate(uint32_t length) {
  Model::Impl& model = impl_->model->impl();
  if (impl_->in_step) return make_error(Code::busy, "the session is part of a step that has not finished");
  if (length > impl_->tokens.size())
    return make_error(Code::invalid_argument, "cannot truncate to %u tokens: the session has %zu", length, impl_->tokens.size());
  // Layer after layer a slot depends on a further window before it, so nothing less than the whole timeline can fill a window anew.
  const uint32_t held = length < impl_->computed && !model.cache->holds_prefix(impl_->sequence, length) ? 0 : length;
  if (held < impl_->computed) QUIRE_TRY(model.cache->truncate(impl_->sequence, held, model.device->last_submitted()));
  if (length < impl_->tokens.size()) impl_->forget_results();
  impl_->tokens.resize(length);
  impl_->phases.resize(length);
  impl_->computed = std::min(impl_->computed, held);
  return {};
}

Status Session::reset() {
  QUIRE_TRY(truncate(0));
  impl_->request = impl_->next_request = OutputRequest{};
  return {};
}

std::span<const uint32_t> Session::tokens() const { return impl_->tokens; }
uint32_t Session::computed() const { return impl_->computed; }
HeldPages Session::held_pages(uint32_t group) const { return impl_->model->impl().cache->held(impl_->sequence, group); }
uint32_t Session::pending() const { return static_cast<uint32_t>(impl_->tokens.size()) - impl_->computed; }
void Session::request(const OutputRequest& request) { impl_->next_request = request; }
bool Session::in_step() const { return impl_->in_step; }
Model& Session::model() { return *impl_->model; }

uint32_t Session::logits_positions() const {
  if (!impl_->has_results()) return 0;
  return std::max(impl_->host_positions, 1U);
}

Result<std::span<const float>> Session::logits() {
  QUIRE_TRY(impl_->check_results());
  if (impl_->host_positions == 0) {
    std::vector<float> newest(impl_->model->impl().hyper.vocabulary_size);
    QUIRE_TRY(read_back(*impl_->model->impl().device, impl_->newest_logits.slice(), std::as_writable_bytes(std::span(newest))));
    impl_->host_logits = std::move(newest);
    impl_->host_positions = 1;
  }
  return std::span<const float>(impl_->host_logits);
}

Result<ArgmaxResult> Session::argmax() {
  QUIRE_TRY(impl_->check_results());
  if (impl_->newest_argmax.non_finite != 0) return non_finite_error(impl_->newest_argmax.non_finite, impl_->model->impl().hyper.vocabulary_size);
  return impl_->newest_argmax;
}

Result<uint32_t> Session::sample(const SamplingOptions& options) {
  QUIRE_TRY(check_sampling(options));
  if (options.temperature == 0) {
    QUIRE_ASSIGN(const ArgmaxResult best, argmax());
    return best.index;
  }
  QUIRE_TRY(impl_->check_results());
  Model::Impl& model = impl_->model->impl();
  const SamplingRow row = sampling_row(options, impl_->tokens.size());
  std::memcpy(model.sampling.row.mapped().data(), &row, sizeof(row));
  Encoder encoder = model.device->encoder();
  const Activation logits{impl_->newest_logits.slice(), model.hyper.vocabulary_size, 1, 1};
  QUIRE_TRY(record_sample({encoder, model.variants}, logits, model.sampling.row.slice(), model.sampling.result.slice()));
  QUIRE_ASSIGN(const uint64_t value, model.device->submit(std::move(encoder)));
  QUIRE_TRY(model.device->wait(value, kReadBackTimeout));
  SampleResult result;
  std::memcpy(&result, model.sampling.result.mapped().data(), sizeof(result));
  if (result.non_finite != 0) return non_finite_error(result.non_finite, model.hyper.vocabulary_size);
  return result.token;
}

}  // namespace quire
