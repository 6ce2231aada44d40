// Engine, devices, status words.
#include <algorithm>
#include <cinttypes>
#include <map>

#include "engine/api/handles.hpp"
#include "engine/device/copy_rate.hpp"
#include "engine/forward/variant_file.hpp"
#include "engine/forward/variant_tuning.hpp"

using namespace quire;
using namespace quire::api;

namespace {

constexpr std::string_view kNullHandle = "the handle is null";

/// Beyond the caches of every device known.
constexpr uint64_t kCopyBytes = uint64_t{128} << 20;

Result<BackendKind> backend_kind(quire_backend backend) {
  switch (backend) {
    case QUIRE_BACKEND_VULKAN: return BackendKind::vulkan;
    case QUIRE_BACKEND_REFERENCE: return BackendKind::reference;
    case QUIRE_BACKEND_NULL: return BackendKind::null_device;
    case QUIRE_BACKEND_CUDA: return BackendKind::cuda;
    case QUIRE_BACKEND_FORCE_32_BITS: break;
  }
  return make_error(Code::invalid_argument, "%u is no quire_backend", static_cast<unsigned>(backend));
}

quire_backend backend_value(BackendKind kind) {
  switch (kind) {
    case BackendKind::vulkan: return QUIRE_BACKEND_VULKAN;
    case BackendKind::reference: return QUIRE_BACKEND_REFERENCE;
    case BackendKind::cuda: return QUIRE_BACKEND_CUDA;
    case BackendKind::null_device: break;
  }
  return QUIRE_BACKEND_NULL;
}

quire_device_type type_value(DeviceType type) {
  switch (type) {
    case DeviceType::discrete: return QUIRE_DEVICE_DISCRETE;
    case DeviceType::integrated: return QUIRE_DEVICE_INTEGRATED;
    case DeviceType::virtual_gpu: return QUIRE_DEVICE_VIRTUAL;
    case DeviceType::cpu: return QUIRE_DEVICE_CPU;
    case DeviceType::other: break;
  }
  return QUIRE_DEVICE_OTHER;
}

Result<DeviceOptions> device_options(const quire_engine_options& options) {
  DeviceOptions device;
  QUIRE_ASSIGN(device.backend, backend_kind(options.backend));
  if ((options.allocator.allocate == nullptr) != (options.allocator.deallocate == nullptr))
    return make_error(Code::invalid_argument, "the allocator has one of its two functions: it needs both or neither");
  device.select = options.device != nullptr ? options.device : "";
  device.validation = options.validation != 0;
  device.pipeline_cache_folder = options.pipeline_cache_folder != nullptr ? options.pipeline_cache_folder : "";
  device.timestamps = options.timestamps != 0;
  if (options.submission_bound_ns == QUIRE_NO_SUBMISSION_BOUND)
    device.submission_bound = std::chrono::nanoseconds::zero();
  else if (options.submission_bound_ns > static_cast<uint64_t>(std::chrono::nanoseconds::max().count()))
    return make_error(Code::invalid_argument, "a submission bound of %" PRIu64 " ns does not fit 63 bits", options.submission_bound_ns);
  else if (options.submission_bound_ns != 0)
    device.submission_bound = std::chrono::nanoseconds(options.submission_bound_ns);
  const Logger logger{options.log, options.log_user};
  if (logger.function != nullptr) device.message = [logger](const char* message) { logger.write(QUIRE_LOG_WARNING, message); };
  return device;
}

quire_device_info describe_device(const DeviceInfo& info, uint32_t index, const char* variants) {
  quire_device_info out{};
  out.backend = backend_value(info.backend);
  out.type = type_value(info.type);
  out.index = index;
  out.usable = info.usable ? 1 : 0;
  out.name = info.name.c_str();
  out.driver = info.driver.c_str();
  out.api_version = info.api_version.c_str();
  out.refusal = info.refusal.c_str();
  out.variants = variants;
  std::copy(info.uuid.begin(), info.uuid.end(), out.uuid);
  out.vendor_id = info.vendor_id;
  out.device_id = info.device_id;
  out.memory_bytes = info.limits.max_device_bytes;
  out.max_buffer_bytes = info.limits.max_buffer_bytes;
  out.subgroup_size = info.limits.subgroup_size;
  out.max_workgroup_invocations = info.limits.max_workgroup_invocations;
  out.max_shared_bytes = info.limits.max_shared_bytes;
  return out;
}

/// Where a device's tuned choices are kept; empty: nowhere.
std::string tuned_file(const quire_engine_options& options, const DeviceInfo& device) {
  if (options.tuning == 0 || options.pipeline_cache_folder == nullptr || device.limits.weight_layout != WeightLayout::lane_tiles) return {};
  return variant_file_path(options.pipeline_cache_folder, device);
}

/// The variants in use with these options, if none had to be measured.
VariantSet remembered_variants(const quire_engine_options& options, const DeviceInfo& device) {
  const VariantSet defaults = choose_variants(device.limits);
  const std::string path = tuned_file(options, device);
  return path.empty() ? defaults : read_variant_file(path, device, defaults).value_or(defaults);
}

/// The same, measured and kept if need be.
VariantSet tuned_variants(const quire_engine_options& options, Device& device) {
  const VariantSet defaults = choose_variants(device.limits());
  const std::string path = tuned_file(options, device.info());
  if (path.empty()) return defaults;
  // Where kernels had to be compiled, time ran out: each further start finds more of them compiled and gets further.
  constexpr uint32_t kMostTries = 4;
  const uint32_t tries = take_unfinished_mark(path);
  if (const auto remembered = read_variant_file(path, device.info(), defaults); remembered && tries == 0) return *remembered;
  TuningProgress progress;
  if (options.tuning_progress != nullptr)
    progress = [&options](uint64_t done, uint64_t total) { return options.tuning_progress(options.tuning_progress_user, done, total) != 0; };
  const Result<TunedVariants> tuned = tune_variants(device, defaults, progress);
  if (options.timestamps != 0) static_cast<void>(device.take_timings());  // of made-up work
  const Logger logger{options.log, options.log_user};
  if (!tuned.ok()) {
    logger.write(QUIRE_LOG_WARNING, ("the device was not tuned: " + tuned.error().message).c_str());
    return defaults;
  }
  Status written = write_variant_file(path, device.info(), defaults, tuned->variants);
  if (written.ok() && !tuned->finished && tries + 1 < kMostTries) written = mark_unfinished(path, tries + 1);
  if (!written.ok()) logger.write(QUIRE_LOG_WARNING, written.error().message.c_str());
  return tuned->variants;
}

/// Into a caller's quire_error, if it is one; what fails here cannot be told.
quire_status report(quire_status status, const ErrorSlot& slot, quire_error* error) {
  if (error == nullptr || error->struct_size < offsetof(quire_error, message) + 1 || error->struct_size > kMaxStructBytes) return status;
  error->status = status;
  const size_t capacity = std::min(sizeof error->message, error->struct_size - offsetof(quire_error, message));
  const size_t length = std::min(std::strlen(slot.message()), capacity - 1);
  std::memcpy(error->message, slot.message(), length);
  error->message[length] = '\0';
  return status;
}

}  // namespace

extern "C" {

const char* quire_status_name(quire_status status) {
  // Names are literals, so their data ends with a zero.
  const auto value = static_cast<uint32_t>(status);
  return value <= static_cast<uint32_t>(Code::internal) ? code_name(static_cast<Code>(value)).data() : "unknown";
}

#define QUIRE_TEXT_INNER(x) #x
#define QUIRE_TEXT(x) QUIRE_TEXT_INNER(x)
const char* quire_version(void) {
  return QUIRE_TEXT(QUIRE_VERSION_MAJOR) "." QUIRE_TEXT(QUIRE_VERSION_MINOR) "." QUIRE_TEXT(QUIRE_VERSION_PATCH);
}

quire_status quire_list_devices(const quire_engine_options* options, quire_device_callback callback, void* user, quire_error* error) {
  ErrorSlot slot;
  const quire_status status = guarded(slot, [&]() -> Status {
    if (callback == nullptr) return make_error(Code::invalid_argument, "the callback is null");
    QUIRE_ASSIGN(const quire_engine_options given, read_struct(options, "quire_engine_options"));
    QUIRE_ASSIGN(const DeviceOptions device, device_options(given));
    QUIRE_ASSIGN(const std::vector<DeviceInfo> devices, Device::list(device));
    for (uint32_t i = 0; i < devices.size(); ++i) {
      const std::string variants = devices[i].usable ? remembered_variants(given, devices[i]).describe() : std::string();
      quire_device_info info = describe_device(devices[i], i, variants.c_str());
      info.struct_size = sizeof info;
      callback(user, &info);
    }
    return {};
  });
  return report(status, slot, error);
}

quire_status quire_engine_create(const quire_engine_options* options, quire_engine** engine, quire_error* error) {
  ErrorSlot slot;
  const quire_status status = guarded(slot, [&]() -> Status {
    if (engine == nullptr) return make_error(Code::invalid_argument, "the place for the engine is null");
    *engine = nullptr;
    QUIRE_ASSIGN(const quire_engine_options given, read_struct(options, "quire_engine_options"));
    QUIRE_ASSIGN(const DeviceOptions device, device_options(given));
    QUIRE_ASSIGN(Device opened, Device::open(device));
    const VariantSet variants = tuned_variants(given, opened);
    HostMemory memory(given.allocator);
    auto* created = memory.create<quire_engine>(memory);
    created->logger = {given.log, given.log_user};
    created->device.emplace(std::move(opened));
    if (given.cache_budget_bytes != 0) created->budget.emplace(given.cache_budget_bytes);
    created->variants = variants;
    created->variants_text = variants.describe();
    created->timestamps = given.timestamps != 0;
    *engine = created;
    return {};
  });
  return report(status, slot, error);
}

quire_status quire_engine_free(quire_engine* engine) {
  if (engine == nullptr) return QUIRE_OK;
  return guarded(engine->error, [&]() -> Status {
    if (engine->children != 0)
      return make_error(Code::busy, "%zu models or files of the engine are still open", engine->children);
    if (const Status saved = engine->device->save_pipeline_cache(); !saved.ok())
      engine->logger.write(QUIRE_LOG_WARNING, saved.error().message.c_str());
    destroy_handle(engine->memory, engine);
    return {};
  });
}

const char* quire_engine_last_error(const quire_engine* engine) { return engine != nullptr ? engine->error.message() : kNullHandle.data(); }

quire_status quire_engine_device(quire_engine* engine, quire_device_info* info) {
  if (engine == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(engine->error, [&] {
    return write_struct(info, describe_device(engine->device->info(), QUIRE_NO_INDEX, engine->variants_text.c_str()), "quire_device_info");
  });
}

quire_status quire_engine_memory_used(quire_engine* engine, quire_engine_memory* memory) {
  if (engine == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(engine->error, [&] {
    const DeviceMemory used = engine->device->memory();
    quire_engine_memory out{};
    out.buffer_bytes = used.buffer_bytes;
    out.buffer_count = used.buffer_count;
    out.heap_used_bytes = used.heap_used_bytes;
    out.heap_budget_bytes = used.heap_budget_bytes;
    return write_struct(memory, out, "quire_engine_memory");
  });
}

quire_status quire_engine_take_kernel_times(quire_engine* engine, quire_kernel_time_callback callback, void* user) {
  if (engine == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(engine->error, [&]() -> Status {
    if (callback == nullptr) return make_error(Code::invalid_argument, "the callback is null");
    if (!engine->timestamps) return make_error(Code::invalid_argument, "the engine was created without quire_engine_options.timestamps");
    QUIRE_ASSIGN(const std::vector<KernelTiming> timings, engine->device->take_timings());
    std::map<std::pair<KernelId, WeightType>, quire_kernel_time> merged;
    for (const KernelTiming& timing : timings) {
      quire_kernel_time& row = merged[{timing.kernel.id, timing.kernel.weight}];
      ++row.dispatches;
      row.gpu_ns += timing.gpu_ns;
      row.moved_bytes += timing.work.bytes;
      row.multiply_adds += timing.work.macs;
    }
    std::vector<quire_kernel_time> rows;
    for (auto& [key, row] : merged) {
      row.struct_size = sizeof row;
      // Names are literals of the manifest, so their data ends with a zero.
      row.kernel = kernel_info(key.first).name.data();
      row.weight_type = key.second == WeightType::none ? "" : weight_type_name(key.second).data();
      rows.push_back(row);
    }
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.gpu_ns > b.gpu_ns; });
    for (const quire_kernel_time& row : rows) callback(user, &row);
    return {};
  });
}

quire_status quire_engine_measure_copy(quire_engine* engine, uint64_t size_bytes, double* bytes_per_s) {
  if (engine == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(engine->error, [&]() -> Status {
    if (bytes_per_s == nullptr) return make_error(Code::invalid_argument, "the place for the rate is null");
    const uint64_t size = size_bytes != 0 ? size_bytes : std::min(kCopyBytes, engine->device->limits().max_buffer_bytes / 4 * 4);
    QUIRE_ASSIGN(*bytes_per_s, measure_copy_rate(*engine->device, size));
    return {};
  });
}

quire_status quire_engine_save_pipeline_cache(quire_engine* engine) {
  if (engine == nullptr) return QUIRE_INVALID_ARGUMENT;
  return guarded(engine->error, [&] { return engine->device->save_pipeline_cache(); });
}

}  // extern "C"
