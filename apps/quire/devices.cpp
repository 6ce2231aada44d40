// quire devices: what there is to run on, and why the rest is refused.
#include <cstdio>
#include <memory>

#include "generation.hpp"
#include "host.hpp"
#include "model_names.hpp"
#include "terminal.hpp"
#include "vector_width.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

constexpr struct {
  quire_backend backend;
  const char* name;
} kBackends[] = {{QUIRE_BACKEND_VULKAN, "vulkan"}, {QUIRE_BACKEND_CUDA, "cuda"}, {QUIRE_BACKEND_REFERENCE, "reference"}, {QUIRE_BACKEND_NULL, "null"}};

const char* type_name(quire_device_type type) {
  switch (type) {
    case QUIRE_DEVICE_DISCRETE: return "discrete";
    case QUIRE_DEVICE_INTEGRATED: return "integrated";
    case QUIRE_DEVICE_VIRTUAL: return "virtual";
    case QUIRE_DEVICE_CPU: return "cpu";
    default: return "other";
  }
}

std::string hex(const uint8_t (&uuid)[16]) {
  std::string text;
  char digits[3];
  for (const uint8_t byte : uuid) {
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

struct Listing {
  const char* backend = "";
  Json devices = Json::array();
};

void add_device_row(void* user, const quire_device_info* device) {
  auto& listing = *static_cast<Listing*>(user);
  listing.devices.push_back({{"backend", listing.backend},
                             {"index", device->index},
                             {"name", device->name},
                             {"type", type_name(device->type)},
                             {"driver", device->driver},
                             {"api_version", device->api_version},
                             {"uuid", hex(device->uuid)},
                             {"usable", device->usable != 0},
                             {"refusal", device->refusal},
                             {"memory_bytes", device->memory_bytes},
                             {"max_buffer_bytes", device->max_buffer_bytes},
                             {"subgroup_size", device->subgroup_size},
                             {"variants", device->variants}});
}

std::string readable(const Json& device) {
  const std::string indent = "\n    ";
  std::string text = device["backend"].get<std::string>();
  if (!device.contains("name")) return text + "  not available: " + device["refusal"].get<std::string>() + "\n";
  text += " " + std::to_string(device["index"].get<uint32_t>()) + "  " + device["name"].get<std::string>() + " (" + device["type"].get<std::string>() + ")";
  if (const auto driver = device["driver"].get<std::string>(); !driver.empty())
    text += indent + "driver " + driver + ", API " + device["api_version"].get<std::string>() + ", uuid " + device["uuid"].get<std::string>();
  if (const auto bytes = device["memory_bytes"].get<uint64_t>(); bytes != 0) text += indent + std::to_string(bytes >> 20) + " MiB";
  if (device["usable"].get<bool>())
    text += indent + "variants " + device["variants"].get<std::string>();
  else
    text += indent + "refused: " + device["refusal"].get<std::string>();
  if (device.contains("vector_width")) text += indent + "vector width " + device["vector_width"].get<std::string>();
  return text + "\n";
}

Outcome devices(const ModelFlags& flags, bool json) {
  const VectorWidth width = choose_vector_width(flags);
  Json all = Json::array();
  for (const auto& [backend, name] : kBackends) {
    quire_engine_options options = quire_cpp::sized<quire_engine_options>();
    options.backend = backend;
    const std::string folder = pipeline_cache_folder();
    if (!folder.empty()) options.pipeline_cache_folder = folder.c_str();
    options.tuning = flags.no_tune ? 0 : 1;
    quire_error error = quire_cpp::sized<quire_error>();
    Listing listing;
    listing.backend = name;
    const quire_status status = quire_list_devices(&options, add_device_row, &listing, &error);
    if (status != QUIRE_OK)
      listing.devices.push_back({{"backend", name}, {"usable", false}, {"refusal", error.message}});
    else if (listing.devices.empty())
      listing.devices.push_back({{"backend", name}, {"usable", false}, {"refusal", "no device"}});
    for (Json& device : listing.devices)
      if (backend == QUIRE_BACKEND_VULKAN && device.value("type", "") == "cpu") device["vector_width"] = describe(width);
    if (backend == QUIRE_BACKEND_VULKAN) confirm_vector_width(width, flags, listing.devices[0].value("driver", ""));
    all.insert(all.end(), listing.devices.begin(), listing.devices.end());
  }
  if (json) return print_json(all);
  for (const Json& device : all) QUIRE_APP_TRY(write_out(readable(device)));
  return {};
}

}  // namespace

void add_devices(CommandLine& line) {
  auto json = std::make_shared<bool>(false);
  auto flags = std::make_shared<ModelFlags>();
  const Verb verb = line.add_verb("devices", "list the devices of every backend, and why some are refused");
  add_no_tune(verb, *flags);
  add_json(verb, *json);
  verb.footer("\nExample:\n  quire devices --json");
  verb.on_chosen([flags, json] { return devices(*flags, *json); });
}

}  // namespace quire_app
