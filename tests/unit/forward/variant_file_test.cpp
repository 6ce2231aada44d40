// A file of tuned choices counts only if it is whole and of this device, driver and build.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "engine/forward/variant_file.hpp"
#include "engine/forward/variant_tuning.hpp"

using namespace quire;
namespace fs = std::filesystem;

namespace {

DeviceInfo some_device() {
  DeviceInfo device;
  device.name = "a device";
  device.driver = "its driver 1.0";
  device.vendor_id = 0x1234;
  device.device_id = 0x5678;
  device.uuid[0] = 0xab;
  device.limits.subgroup_size = 32;
  return device;
}

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("quire-variants-" + std::to_string(getpid()))) { fs::create_directory(path_); }
  ~Folder() { fs::remove_all(path_); }
  std::string path() const { return path_.string(); }
  size_t file_count() const { return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {})); }

 private:
  fs::path path_;
};

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary | std::ios::trunc) << text; }

/// The last candidate of every field.
VariantSet all_changed(const VariantSet& defaults, const Limits& limits) {
  VariantSet tuned = defaults;
  for (const TunedField& field : tuned_fields()) tuned.*field.value = tuning_candidates(field, defaults, limits).back();
  return tuned;
}

}  // namespace

TEST_CASE("variant_file: what was written is read, on the same device, driver and defaults only") {
  const Folder folder;
  const DeviceInfo device = some_device();
  const VariantSet defaults = choose_variants(device.limits), tuned = all_changed(defaults, device.limits);
  REQUIRE(tuned.describe() != defaults.describe());
  const std::string path = variant_file_path(folder.path(), device);
  CHECK_FALSE(read_variant_file(path, device, defaults).has_value());
  REQUIRE(write_variant_file(path, device, defaults, tuned).ok());
  REQUIRE(read_variant_file(path, device, defaults).has_value());
  CHECK(read_variant_file(path, device, defaults)->describe() == tuned.describe());
  CHECK(folder.file_count() == 1);

  DeviceInfo other = device;
  other.driver = "its driver 1.1";
  CHECK_FALSE(read_variant_file(path, other, defaults).has_value());
  CHECK(variant_file_path(folder.path(), other) == path);
  other = device;
  other.name = "another device";
  CHECK_FALSE(read_variant_file(path, other, defaults).has_value());
  VariantSet other_defaults = defaults;
  other_defaults.norm_workgroup *= 2;
  CHECK_FALSE(read_variant_file(path, device, other_defaults).has_value());
  other = device;
  other.limits.subgroup_size = 64;
  CHECK(variant_file_path(folder.path(), other) != path);
  other = device;
  other.uuid[15] = 1;
  CHECK(variant_file_path(folder.path(), other) != path);
}

TEST_CASE("variant_file: a file that is damaged, or names what is no candidate, is ignored and can be replaced") {
  const Folder folder;
  const DeviceInfo device = some_device();
  const VariantSet defaults = choose_variants(device.limits), tuned = all_changed(defaults, device.limits);
  const std::string path = variant_file_path(folder.path(), device);
  REQUIRE(write_variant_file(path, device, defaults, tuned).ok());
  const std::string good = read_text(path);
  std::vector<std::string> damaged = {"", "\n", good + "\n", good + "norm_workgroup 8\n", good.substr(0, good.size() - 1), "x" + good, std::string(100000, 'x')};
  for (size_t length = 1; length < good.size(); length += 7) damaged.push_back(good.substr(0, length));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string flipped = good;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    write_text(path, flipped);
    const auto read = read_variant_file(path, device, defaults);
    // A digit that became another candidate's is as good as a measurement: any candidate is right.
    for (const TunedField& field : tuned_fields()) {
      if (!read.has_value()) continue;
      const std::vector<uint32_t> candidates = tuning_candidates(field, defaults, device.limits);
      CHECK(std::find(candidates.begin(), candidates.end(), (*read).*field.value) != candidates.end());
    }
  }
  const std::string line = "few_max_columns " + std::to_string(tuned.few_max_columns);
  REQUIRE(good.find(line) != std::string::npos);
  for (const char* value : {"0", "7", "4294967297", "-1", "04", "x", ""}) {
    std::string other = good;
    damaged.push_back(other.replace(other.find(line), line.size(), std::string("few_max_columns ") + value));
  }
  for (const std::string& text : damaged) {
    CAPTURE(text.substr(0, 300));
    write_text(path, text);
    CHECK_FALSE(read_variant_file(path, device, defaults).has_value());
  }
  REQUIRE(write_variant_file(path, device, defaults, tuned).ok());
  CHECK(read_text(path) == good);
  CHECK(folder.file_count() == 1);
  CHECK(write_variant_file(folder.path() + "/no/such.txt", device, defaults, tuned).code() == Code::not_found);
}

TEST_CASE("variant_file: the mark of an unfinished measurement is taken once, and leaves the file alone") {
  const Folder folder;
  const DeviceInfo device = some_device();
  const VariantSet defaults = choose_variants(device.limits);
  const std::string path = variant_file_path(folder.path(), device);
  REQUIRE(write_variant_file(path, device, defaults, defaults).ok());
  CHECK(take_unfinished_mark(path) == 0);
  for (const uint32_t tries : {1U, 3U}) {
    REQUIRE(mark_unfinished(path, tries).ok());
    CHECK(folder.file_count() == 2);
    CHECK(read_variant_file(path, device, defaults).has_value());
    CHECK(take_unfinished_mark(path) == tries);
    CHECK(take_unfinished_mark(path) == 0);
    CHECK(folder.file_count() == 1);
  }
  REQUIRE(mark_unfinished(path, 1).ok());
  const std::string mark = path.substr(0, path.size() - 4) + ".unfinished";
  for (const char* damaged : {"", "0", "x", "11"}) {
    write_text(mark, damaged);
    CHECK(take_unfinished_mark(path) == 0);
    CHECK(folder.file_count() == 1);
  }
  CHECK(mark_unfinished(folder.path() + "/no/such.txt", 1).code() == Code::not_found);
}
