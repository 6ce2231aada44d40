// Caller's sources and formats, and quire_file: what a model file says, without loading it.
#include "engine/api/handles.hpp"

using namespace quire;
using namespace quire::api;

namespace quire::api {

Result<std::shared_ptr<ByteSource>> open_source(const quire_source* source) {
  if (source == nullptr) return make_error(Code::invalid_argument, "the source is null");
  QUIRE_ASSIGN(const quire_source given, read_struct(source, "quire_source"));
  if (given.path != nullptr && given.read_at != nullptr)
    return make_error(Code::invalid_argument, "the source has both a path and read_at: it needs one of them");
  if (given.path != nullptr) {
    QUIRE_ASSIGN(std::unique_ptr<FileSource> file, FileSource::open(given.path));
    return std::shared_ptr<ByteSource>(std::move(file));
  }
  if (given.read_at == nullptr) return make_error(Code::invalid_argument, "the source has neither a path nor read_at");
  QUIRE_ASSIGN(std::unique_ptr<CallbackSource> callback, CallbackSource::create(given.read_at, given.user, given.size_bytes));
  return std::shared_ptr<ByteSource>(std::move(callback));
}

Result<PageFormats> page_formats(quire_page_format k, quire_page_format v) {
  const auto convert = [](quire_page_format format) -> Result<PageFormat> {
    switch (format) {
      case QUIRE_PAGE_F16: return PageFormat::f16;
      case QUIRE_PAGE_F32: return PageFormat::f32;
      case QUIRE_PAGE_Q8: return PageFormat::q8;
      case QUIRE_PAGE_FORCE_32_BITS: break;
    }
    return make_error(Code::unsupported, "%u is no quire_page_format of this version", static_cast<unsigned>(format));
  };
  PageFormats formats;
  QUIRE_ASSIGN(formats.k, convert(k));
  QUIRE_ASSIGN(formats.v, convert(v));
  return formats;
}

quire_cache_group describe_group(const CacheGroup& group) {
  quire_cache_group out{};
  out.layers = static_cast<uint32_t>(group.layers.size());
  out.window = group.window;
  out.tokens_per_page = group.tokens_per_page;
  out.most_pages = most_held_pages(group);
  return out;
}

Status check_group_index(size_t index, size_t count) {
  if (index < count) return {};
  return make_error(Code::invalid_argument, "cache group %zu is outside the model's %zu", index, count);
}

}  // namespace quire::api

namespace {

/// How much of a metadata value quire_file_metadata shows.
constexpr size_t kShownStringBytes = size_t{64} << 10;
constexpr size_t kShownElements = 8;

quire_prediction prediction_value(const MemoryPrediction& prediction, uint32_t context) {
  quire_prediction out{};
  out.weight_bytes = prediction.weight_bytes;
  out.scratch_bytes = prediction.scratch_bytes;
  out.table_bytes = prediction.table_bytes;
  out.session_bytes = prediction.session_bytes;
  out.page_bytes_per_token = prediction.page_bytes_per_token;
  out.page_bytes = prediction.page_bytes_for_context;
  out.context_length = context;
  out.group_count = static_cast<uint32_t>(prediction.groups.size());
  return out;
}

/// `context` 0 becomes what the model was trained for.
Result<MemoryPrediction> predict(const quire_file& file, uint32_t& context, quire_page_format k_format, quire_page_format v_format) {
  QUIRE_ASSIGN(const PageFormats formats, page_formats(k_format, v_format));
  QUIRE_ASSIGN(const Hyperparameters hyper, read_hyperparameters(file.gguf));
  if (context == 0) context = hyper.context_length;
  ModelOptions options;
  options.context_length = context;
  options.variants = file.engine.variants;
  QUIRE_ASSIGN(MemoryPrediction predicted, predict_memory(file.gguf, file.engine.device->limits(), options, context, formats));
  QUIRE_TRY(Tokenizer::create(file.gguf));
  return predicted;
}

Status check_fits(const quire_prediction& p, const Limits& limits) {
  const uint64_t total = p.weight_bytes + p.scratch_bytes + p.table_bytes + p.session_bytes + p.page_bytes;
  if (limits.max_device_bytes == 0 || total <= limits.max_device_bytes) return {};
  return make_error(Code::out_of_device_memory, "weights, scratch and a context of %u tokens need %llu bytes; the device's heap has %llu", p.context_length,
                    static_cast<unsigned long long>(total), static_cast<unsigned long long>(limits.max_device_bytes));
}

}  // namespace

extern "C" {

quire_status quire_file_open(quire_engine* engine, const quire_source* source, quire_file** file) {
  if (engine == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(engine->error, [&]() -> Status {
    if (file == nullptr) return make_error(Code::invalid_argument, "the place for the file is null");
    *file = nullptr;
    QUIRE_ASSIGN(const std::shared_ptr<ByteSource> bytes, open_source(source));
    QUIRE_ASSIGN(GgufFile gguf, GgufFile::read(*bytes));
    std::vector<std::string> types;
    for (const TensorInfo& tensor : gguf.tensors()) types.emplace_back(ggml_type_name(tensor.type));
    auto* created = engine->memory.create<quire_file>(*engine);
    created->gguf = std::move(gguf);
    created->tensor_types = std::move(types);
    *file = created;
    return {};
  });
}

quire_status quire_file_free(quire_file* file) {
  if (file != nullptr) destroy_handle(file->engine.memory, file);
  return QUIRE_OK;
}

const char* quire_file_last_error(const quire_file* file) { return file != nullptr ? file->error.message() : "the handle is null"; }

size_t quire_file_metadata_count(const quire_file* file) { return file != nullptr ? file->gguf.metadata_count() : 0; }

quire_status quire_file_metadata(quire_file* file, size_t index, quire_metadata* metadata) {
  if (file == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(file->error, [&]() -> Status {
    if (index >= file->gguf.metadata_count())
      return make_error(Code::invalid_argument, "metadata %zu is outside the file's %zu", index, file->gguf.metadata_count());
    const GgufFile::Entry entry = file->gguf.metadata(index);
    file->key = entry.key;
    file->type = metadata_type_name(entry.type);
    if (entry.type == MetadataType::array) file->type = "array of " + std::string(metadata_type_name(entry.element_type));
    file->value = file->gguf.metadata_text(index, kShownStringBytes, kShownElements);
    quire_metadata out{};
    out.key = file->key.c_str();
    out.type = file->type.c_str();
    out.value = file->value.c_str();
    out.count = entry.count;
    return write_struct(metadata, out, "quire_metadata");
  });
}

size_t quire_file_tensor_count(const quire_file* file) { return file != nullptr ? file->gguf.tensors().size() : 0; }

quire_status quire_file_tensor(quire_file* file, size_t index, quire_tensor* tensor) {
  if (file == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(file->error, [&]() -> Status {
    const std::span<const TensorInfo> tensors = file->gguf.tensors();
    if (index >= tensors.size()) return make_error(Code::invalid_argument, "tensor %zu is outside the file's %zu", index, tensors.size());
    const TensorInfo& info = tensors[index];
    quire_tensor out{};
    out.name = info.name.c_str();
    out.type = file->tensor_types[index].c_str();
    std::copy(info.dims.begin(), info.dims.end(), out.shape);
    out.dimensions = info.dimension_count;
    out.offset_bytes = info.offset_bytes;
    out.size_bytes = info.size_bytes;
    return write_struct(tensor, out, "quire_tensor");
  });
}

quire_status quire_file_predict(quire_file* file, uint32_t context_length, quire_page_format k_format, quire_page_format v_format,
                                quire_prediction* prediction) {
  if (file == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(file->error, [&]() -> Status {
    QUIRE_ASSIGN(const MemoryPrediction predicted, predict(*file, context_length, k_format, v_format));
    const quire_prediction out = prediction_value(predicted, context_length);
    QUIRE_TRY(write_struct(prediction, out, "quire_prediction"));
    return check_fits(out, file->engine.device->limits());
  });
}

quire_status quire_file_predict_group(quire_file* file, uint32_t context_length, quire_page_format k_format, quire_page_format v_format, size_t index,
                                      quire_cache_group* group) {
  if (file == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(file->error, [&]() -> Status {
    QUIRE_ASSIGN(const MemoryPrediction predicted, predict(*file, context_length, k_format, v_format));
    QUIRE_TRY(check_group_index(index, predicted.groups.size()));
    const MemoryPrediction::Group& of_group = predicted.groups[index];
    quire_cache_group out = describe_group(of_group.group);
    out.pages = of_group.pages_for_context;
    out.page_bytes = uint64_t{of_group.pages_for_context} * of_group.page_bytes;
    out.page_bytes_per_token = of_group.page_bytes / out.tokens_per_page;
    return write_struct(group, out, "quire_cache_group");
  });
}

}  // extern "C"
