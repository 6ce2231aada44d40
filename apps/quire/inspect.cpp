// quire inspect: what a model file holds, what it will take, and whether it runs here.
#include <memory>

#include "generation.hpp"
#include "host.hpp"
#include "model_names.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace quire_app {
namespace {

struct InspectFlags {
  ModelFlags model;
  bool json = false;
};

/// Columns of a readable listing.
std::string padded(const std::string& text, size_t width) { return text + std::string(text.size() < width ? width - text.size() : 1, ' '); }

Json metadata_list(const quire_cpp::File& file) {
  Json list = Json::array();
  for (size_t i = 0; i < quire_file_metadata_count(file.get()); ++i) {
    quire_metadata entry = quire_cpp::sized<quire_metadata>();
    if (quire_file_metadata(file.get(), i, &entry) == QUIRE_OK)
      list.push_back({{"key", entry.key}, {"type", entry.type}, {"count", entry.count}, {"value", entry.value}});
  }
  return list;
}

Json tensor_list(const quire_cpp::File& file) {
  Json list = Json::array();
  for (size_t i = 0; i < quire_file_tensor_count(file.get()); ++i) {
    quire_tensor tensor = quire_cpp::sized<quire_tensor>();
    if (quire_file_tensor(file.get(), i, &tensor) != QUIRE_OK) continue;
    list.push_back({{"name", tensor.name},
                    {"type", tensor.type},
                    {"shape", std::vector<uint64_t>(tensor.shape, tensor.shape + tensor.dimensions)},
                    {"offset_bytes", tensor.offset_bytes},
                    {"size_bytes", tensor.size_bytes}});
  }
  return list;
}

std::string one_line(std::string text) {
  constexpr size_t kLongest = 100;
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  return text.size() > kLongest ? text.substr(0, kLongest) + "..." : text;
}

std::string readable_group(const Json& group) {
  const auto number = [&group](const char* key) { return std::to_string(group[key].get<uint64_t>()); };
  std::string text = "  kv of " + number("layers") + " layers";
  text += group["window"] == 0 ? " that see all tokens" : " that see " + number("window") + " tokens";
  text = padded(text, 46) + number("bytes") + ": " + number("pages") + " pages of " + number("tokens_per_page") + " tokens, " +
         number("bytes_per_token") + " bytes per token";
  return text + (group["most_pages"] == 0 ? "" : "; never more than " + number("most_pages") + " pages between steps") + "\n";
}

Json predicted_groups(const quire_cpp::File& file, uint32_t context_length, quire_page_format k, quire_page_format v, uint32_t count) {
  Json groups = Json::array();
  for (uint32_t i = 0; i < count; ++i) {
    quire_cache_group group = quire_cpp::sized<quire_cache_group>();
    if (quire_file_predict_group(file.get(), context_length, k, v, i, &group) == QUIRE_OK) groups.push_back(group_json(group));
  }
  return groups;
}

std::string readable(const Json& report) {
  std::string text = "metadata\n";
  for (const auto& entry : report["metadata"])
    text += "  " + padded(entry["key"].get<std::string>(), 44) + padded(entry["type"].get<std::string>(), 18) +
            one_line(entry["value"].get<std::string>()) + "\n";
  text += "tensors\n";
  for (const auto& tensor : report["tensors"])
    text += "  " + padded(tensor["name"].get<std::string>(), 44) + padded(tensor["type"].get<std::string>(), 8) + padded(json_text(tensor["shape"]), 20) +
            std::to_string(tensor["size_bytes"].get<uint64_t>()) + " bytes\n";
  if (report.contains("bytes")) {
    text += "bytes on " + report["device"].get<std::string>() + "\n";
    for (const auto& [name, value] : report["bytes"].items()) text += "  " + padded(name, 44) + std::to_string(value.get<uint64_t>()) + "\n";
  }
  for (const auto& group : report.value("kv_groups", Json::array())) text += readable_group(group);
  return text + "verdict: " + report["verdict"].get<std::string>() + "\n";
}

/// What a token takes in each page format, K and V alike.
void add_bytes_per_token(const quire_cpp::File& file, uint32_t context_length, Json& bytes) {
  for (const NamedPageFormat& named : kPageFormats) {
    quire_prediction prediction = quire_cpp::sized<quire_prediction>();
    const quire_status status = quire_file_predict(file.get(), context_length, named.format, named.format, &prediction);
    if (status == QUIRE_OK || status == QUIRE_OUT_OF_DEVICE_MEMORY) bytes["kv_per_token_" + std::string(named.name)] = prediction.page_bytes_per_token;
  }
}

/// The device asked for; if there is none, the null device, so that the file can be read all the same.
Outcome open_some_engine(const InspectFlags& flags, quire_cpp::Engine& engine, Outcome& refusal) {
  refusal = open_engine(flags.model, KernelTimes::off, engine);
  if (refusal.ok()) return {};
  ModelFlags null_device = flags.model;
  null_device.device = "null";
  return open_engine(null_device, KernelTimes::off, engine);
}

Outcome inspect(const InspectFlags& flags) {
  if (flags.model.model().empty()) return failure(kExitUsage, "no model is given");
  quire_page_format k = QUIRE_PAGE_F16, v = QUIRE_PAGE_F16;
  QUIRE_APP_TRY(page_formats(flags.model, k, v));
  std::string path;
  QUIRE_APP_TRY(find_model(flags.model.model(), path));
  quire_cpp::Engine engine;
  quire_cpp::File file;
  Outcome refusal;
  QUIRE_APP_TRY(open_some_engine(flags, engine, refusal));
  quire_source source = quire_cpp::sized<quire_source>();
  source.path = path.c_str();
  if (const quire_status status = quire_file_open(engine.get(), &source, file.out()); status != QUIRE_OK)
    return failure(status, Doing::model, quire_engine_last_error(engine.get()));

  Json report = {{"file", path}, {"metadata", metadata_list(file)}, {"tensors", tensor_list(file)}};
  quire_device_info device = quire_cpp::sized<quire_device_info>();
  static_cast<void>(quire_engine_device(engine.get(), &device));
  quire_prediction prediction = quire_cpp::sized<quire_prediction>();
  const quire_status status = quire_file_predict(file.get(), flags.model.context_length, k, v, &prediction);
  Outcome verdict = refusal;
  if (status != QUIRE_OK) verdict = failure(status, Doing::model, quire_file_last_error(file.get()));
  report["device"] = device.name;
  if (status == QUIRE_OK || status == QUIRE_OUT_OF_DEVICE_MEMORY) {
    report["kv_groups"] = predicted_groups(file, flags.model.context_length, k, v, prediction.group_count);
    report["bytes"] = {{"weights", prediction.weight_bytes},
                       {"scratch", prediction.scratch_bytes},
                       {"tables", prediction.table_bytes},
                       {"session", prediction.session_bytes},
                       {"kv_per_token", prediction.page_bytes_per_token},
                       {"kv_for_context_of_" + std::to_string(prediction.context_length), prediction.page_bytes},
                       {"total", prediction.weight_bytes + prediction.scratch_bytes + prediction.table_bytes + prediction.session_bytes +
                                     prediction.page_bytes}};
    add_bytes_per_token(file, flags.model.context_length, report["bytes"]);
  }
  report["runs"] = verdict.ok();
  report["verdict"] = verdict.ok() ? "runs here" : "does not run here: " + verdict.message;
  QUIRE_APP_TRY(flags.json ? print_json(report) : write_out(readable(report)));
  return {verdict.code, ""};
}

}  // namespace

void add_inspect(CommandLine& line) {
  auto flags = std::make_shared<InspectFlags>();
  const Verb verb = line.add_verb("inspect", "metadata, tensors and memory of a model file, and whether it runs here (exit code 0 if so)");
  add_model(verb, flags->model);
  add_device(verb, flags->model);
  add_timeline(verb, flags->model);
  add_json(verb, flags->json);
  verb.footer("\nExample:\n  quire inspect smollm2 -c 4096 --kv f32");
  verb.on_chosen([flags] { return inspect(*flags); });
}

}  // namespace quire_app
