// Models and everything about text.
#include "engine/api/handles.hpp"

using namespace quire;
using namespace quire::api;

namespace {

Result<ModelOptions> model_options(const quire_engine& engine, const quire_model_options& given) {
  ModelOptions options;
  if (given.arithmetic != QUIRE_ARITHMETIC_FLOAT && given.arithmetic != QUIRE_ARITHMETIC_INT8)
    return make_error(Code::invalid_argument, "%u is no quire_arithmetic of this version", static_cast<unsigned>(given.arithmetic));
  options.arithmetic = given.arithmetic == QUIRE_ARITHMETIC_INT8 ? Arithmetic::int8 : Arithmetic::float32;
  options.context_length = given.context_length;
  options.chunk = given.chunk;
  options.variants = engine.variants;
  if (given.slab_bytes != 0) options.slab_bytes = given.slab_bytes;
  if (given.chat_template != nullptr) options.chat_template = given.chat_template;
  if (given.persistent == QUIRE_PERSISTENT_IF_POSSIBLE) options.persistent_decode = PersistentChoice::if_possible;
  // The budget outlives the models: it is the engine's, and an engine with models cannot be freed.
  options.cache_budget = engine.budget ? const_cast<CacheBudget*>(&*engine.budget) : nullptr;
  if (given.progress != nullptr)
    options.progress = [progress = given.progress, user = given.progress_user](uint64_t done, uint64_t total) { return progress(user, done, total) != 0; };
  return options;
}

std::string metadata_string(const GgufFile& file, const char* key) {
  const Result<std::string_view> text = file.get_string(key);
  return text.ok() ? std::string(*text) : std::string();
}

Result<std::vector<ChatMessage>> chat_messages(const quire_message* messages, size_t count) {
  if (messages == nullptr || count == 0) return make_error(Code::invalid_argument, "a conversation needs at least one message");
  std::vector<ChatMessage> result;
  for (size_t i = 0; i < count; ++i) {
    const quire_message& message = messages[i];
    if (message.role == nullptr) return make_error(Code::invalid_argument, "message %zu has a null role", i);
    if (message.content == nullptr && message.content_bytes != 0) return make_error(Code::invalid_argument, "message %zu has null content", i);
    result.push_back({message.role, message.content != nullptr ? std::string(message.content, message.content_bytes) : std::string()});
  }
  return result;
}

}  // namespace

extern "C" {

quire_status quire_model_open(quire_engine* engine, const quire_source* source, const quire_model_options* options, quire_model** model) {
  if (engine == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(engine->error, [&]() -> Status {
    if (model == nullptr) return make_error(Code::invalid_argument, "the place for the model is null");
    *model = nullptr;
    QUIRE_ASSIGN(const quire_model_options given, read_struct(options, "quire_model_options"));
    QUIRE_ASSIGN(std::shared_ptr<ByteSource> bytes, open_source(source));
    QUIRE_ASSIGN(const ModelOptions chosen, model_options(*engine, given));
    QUIRE_ASSIGN(std::unique_ptr<Model> opened, Model::open(*engine->device, std::move(bytes), chosen));
    std::string name = metadata_string(opened->file(), "general.name");
    std::string chat_template(opened->chat_template() != nullptr ? opened->chat_template()->family() : "");
    std::string variants = opened->variants().describe();
    auto* created = engine->memory.create<quire_model>(*engine, std::move(opened));
    created->variants = std::move(variants);
    created->name = std::move(name);
    created->chat_template = std::move(chat_template);
    *model = created;
    return {};
  });
}

quire_status quire_model_free(quire_model* model) {
  if (model == nullptr) return QUIRE_OK;
  return guarded(model->error, [&]() -> Status {
    if (model->children != 0) return make_error(Code::busy, "%zu sessions or decoders of the model are still alive", model->children);
    destroy_handle(model->engine.memory, model);
    return {};
  });
}

const char* quire_model_last_error(const quire_model* model) { return model != nullptr ? model->error.message() : "the handle is null"; }

quire_status quire_model_get_info(quire_model* model, quire_model_info* info) {
  if (model == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(model->error, [&] {
    const Hyperparameters& hyper = model->model->hyperparameters();
    const Tokenizer& tokenizer = model->model->tokenizer();
    quire_model_info out{};
    out.architecture = hyper.architecture.c_str();
    out.name = model->name.c_str();
    out.chat_template = model->chat_template.c_str();
    out.chat_template_error = model->model->chat_template_error().message.c_str();
    const PersistentReport& persistent = model->model->persistent_decode();
    out.persistent_why_not = persistent.why_not.c_str();
    out.variants = model->variants.c_str();
    out.persistent_workers = persistent.why_not.empty() ? persistent.worker_count : 0;
    out.vocabulary = hyper.vocabulary_size;
    out.layers = hyper.block_count;
    out.embedding = hyper.embedding_length;
    out.context_trained = hyper.context_length;
    out.context_length = model->model->context_length();
    out.chunk = model->model->chunk();
    out.bos_token = tokenizer.bos().value_or(QUIRE_NO_TOKEN);
    out.eos_token = tokenizer.eos().value_or(QUIRE_NO_TOKEN);
    return write_struct(info, out, "quire_model_info");
  });
}

quire_status quire_model_memory_used(quire_model* model, quire_model_memory* memory) {
  if (model == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(model->error, [&] {
    const ModelMemory used = model->model->memory();
    quire_model_memory out{};
    out.weight_bytes = used.weight_bytes;
    out.scratch_bytes = used.scratch_bytes;
    out.slab_bytes = used.cache.slab_bytes;
    out.pages_used = used.cache.pages_in_use;
    out.page_bytes_used = used.cache.in_use_bytes;
    out.table_bytes = used.table_bytes + used.cache.table_bytes;
    return write_struct(memory, out, "quire_model_memory");
  });
}

size_t quire_model_group_count(const quire_model* model) { return model != nullptr ? model->model->cache_groups().size() : 0; }

quire_status quire_model_get_group(quire_model* model, size_t index, quire_cache_group* group) {
  if (model == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(model->error, [&]() -> Status {
    QUIRE_TRY(check_group_index(index, model->model->cache_groups().size()));
    const GroupMemory used = model->model->cache_memory().groups[index];
    quire_cache_group out = describe_group(model->model->cache_groups()[index]);
    out.pages = used.pages.pages_in_use;
    out.page_bytes = used.in_use_bytes;
    return write_struct(group, out, "quire_cache_group");
  });
}

quire_status quire_model_tokenize(quire_model* model, const char* text, size_t text_bytes, uint32_t flags, uint32_t* tokens, size_t capacity,
                                  size_t* count) {
  if (model == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(model->error, [&]() -> Status {
    if (text == nullptr && text_bytes != 0) return make_error(Code::invalid_argument, "the text is null but has %zu bytes", text_bytes);
    if ((flags & ~(QUIRE_TOKENIZE_SPECIAL | QUIRE_TOKENIZE_BOS)) != 0)
      return make_error(Code::invalid_argument, "flags 0x%x have bits that mean nothing", flags);
    const Tokenizer& tokenizer = model->model->tokenizer();
    const SpecialTokens special = (flags & QUIRE_TOKENIZE_SPECIAL) != 0 ? SpecialTokens::parse : SpecialTokens::ignore;
    QUIRE_ASSIGN(std::vector<uint32_t> ids, tokenizer.encode(text != nullptr ? std::string_view(text, text_bytes) : std::string_view(), special));
    if ((flags & QUIRE_TOKENIZE_BOS) != 0 && tokenizer.add_bos() && tokenizer.bos()) ids.insert(ids.begin(), *tokenizer.bos());
    return write_array<uint32_t>(ids, tokens, capacity, count);
  });
}

int quire_model_is_end_token(const quire_model* model, uint32_t token) {
  return model != nullptr && model->model->tokenizer().is_end_of_generation(token) ? 1 : 0;
}

quire_status quire_model_apply_template(quire_model* model, const quire_message* messages, size_t message_count, size_t from, uint32_t* tokens,
                                        size_t capacity, size_t* count) {
  if (model == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(model->error, [&]() -> Status {
    const ChatTemplate* chat = model->model->chat_template();
    if (chat == nullptr) return model->model->chat_template_error();
    QUIRE_ASSIGN(const std::vector<ChatMessage> conversation, chat_messages(messages, message_count));
    const Tokenizer& tokenizer = model->model->tokenizer();
    auto ids = from == 0 ? encode_chat(tokenizer, *chat, conversation, GenerationPrompt::add)
                         : encode_chat_following(tokenizer, *chat, conversation, from, GenerationPrompt::add);
    if (!ids.ok()) return std::move(ids).error();
    return write_array<uint32_t>(*ids, tokens, capacity, count);
  });
}

quire_status quire_decoder_create(quire_model* model, quire_decoder** decoder) {
  if (model == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(model->error, [&]() -> Status {
    if (decoder == nullptr) return make_error(Code::invalid_argument, "the place for the decoder is null");
    *decoder = nullptr;
    *decoder = model->engine.memory.create<quire_decoder>(*model);
    return {};
  });
}

quire_status quire_decoder_free(quire_decoder* decoder) {
  if (decoder != nullptr) destroy_handle(decoder->model.engine.memory, decoder);
  return QUIRE_OK;
}

const char* quire_decoder_last_error(const quire_decoder* decoder) { return decoder != nullptr ? decoder->error.message() : "the handle is null"; }

quire_status quire_decoder_push(quire_decoder* decoder, uint32_t token, const char** text, size_t* text_bytes) {
  if (decoder == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(decoder->error, [&]() -> Status {
    if (text == nullptr || text_bytes == nullptr) return make_error(Code::invalid_argument, "the place for the text is null");
    const uint32_t vocabulary = decoder->model.model->tokenizer().vocabulary_size();
    if (token >= vocabulary) return make_error(Code::invalid_argument, "token id %u is outside the vocabulary of %u", token, vocabulary);
    decoder->text = decoder->decoder.push(token);
    *text = decoder->text.c_str();
    *text_bytes = decoder->text.size();
    return {};
  });
}

quire_status quire_decoder_flush(quire_decoder* decoder, const char** text, size_t* text_bytes) {
  if (decoder == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(decoder->error, [&]() -> Status {
    if (text == nullptr || text_bytes == nullptr) return make_error(Code::invalid_argument, "the place for the text is null");
    decoder->text = decoder->decoder.finish();
    *text = decoder->text.c_str();
    *text_bytes = decoder->text.size();
    return {};
  });
}

}  // extern "C"
