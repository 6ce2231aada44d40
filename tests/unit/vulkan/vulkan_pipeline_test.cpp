#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "engine/device/vulkan/vulkan_pipeline_file.hpp"
#include "tests/support/vulkan_fixture.hpp"
#include "tests/support/vulkan_shim.hpp"
#include "tests/unit/vulkan/small_step.hpp"

using namespace quire;
using namespace quire::test;

namespace {

using Bytes = std::vector<char>;

/// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("quire-pipelines-" + std::to_string(std::random_device{}()))) {
    std::filesystem::create_directory(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string path() const { return path_.string(); }
  /// The one file in it; empty if there is none.
  std::filesystem::path file() const {
    const std::filesystem::directory_iterator files(path_);
    return files == std::filesystem::directory_iterator() ? std::filesystem::path() : files->path();
  }
  Bytes read() const {
    std::ifstream stream(file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void write(const Bytes& bytes) const {
    std::ofstream stream(file(), std::ios::binary | std::ios::trunc);
    stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::filesystem::path path_;
};

/// Opens with the folder, computes, saves.
void use_cache(const Folder& folder) {
  VulkanFixture fixture([&](DeviceOptions& options) { options.pipeline_cache_folder = folder.path(); });
  const auto result = small_step(fixture.device());
  REQUIRE(result.ok());
  CHECK(*result == small_step_expected());
  const Status saved = fixture.device().save_pipeline_cache();
  REQUIRE_MESSAGE(saved.ok(), saved.error().message);
}

PhysicalDevice some_device() {
  PhysicalDevice device;
  device.info.vendor_id = 0x1234;
  device.info.device_id = 0x5678;
  for (size_t i = 0; i < device.pipeline_cache_uuid.size(); ++i) device.pipeline_cache_uuid[i] = static_cast<uint8_t>(i + 1);
  return device;
}

/// What a driver of `device` would give.
std::vector<std::byte> some_payload(const PhysicalDevice& device) {
  std::vector<std::byte> payload(100, std::byte{0x77});
  const uint32_t head[4] = {32, 1, device.info.vendor_id, device.info.device_id};
  std::memcpy(payload.data(), head, sizeof head);
  std::memcpy(payload.data() + 16, device.pipeline_cache_uuid.data(), VK_UUID_SIZE);
  return payload;
}

}  // namespace

TEST_CASE("vulkan_pipelines: the cache is written once, read again, and left alone when nothing changed") {
  const Folder folder;
  use_cache(folder);
  const Bytes first = folder.read();
  REQUIRE(first.size() >= 32 + 32);  // software drivers may give a header only
  const auto written = std::filesystem::last_write_time(folder.file());
  use_cache(folder);
  CHECK(folder.read() == first);
  CHECK(std::filesystem::last_write_time(folder.file()) == written);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("vulkan_pipelines: a damaged cache file is ignored and rewritten") {
  const Folder folder;
  use_cache(folder);
  const Bytes good = folder.read();
  REQUIRE(good.size() >= 64);
  Bytes flipped = good;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  Bytes foreign_device = good;
  foreign_device[32 + 8] = static_cast<char>(foreign_device[32 + 8] ^ 1);
  Bytes wrong_magic = good;
  wrong_magic[0] = 'X';
  Bytes longer = good;
  longer.push_back('x');
  const Bytes half(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(good.size() / 2));
  const Bytes header_only(good.begin(), good.begin() + 32);
  for (const Bytes& bad : {flipped, foreign_device, wrong_magic, longer, half, header_only, Bytes{}, Bytes(5, 'q')}) {
    folder.write(bad);
    use_cache(folder);
    const Bytes rewritten = folder.read();
    CHECK(rewritten != bad);
    CHECK(rewritten.size() >= 64);
    CHECK(std::equal(rewritten.begin(), rewritten.begin() + 16, good.begin()));
  }
}

TEST_CASE("vulkan_pipelines: a file of another device or cache version is ignored, though its checksum is right") {
  const Folder folder;
  const PhysicalDevice device = some_device();
  const std::string path = pipeline_file_path(folder.path(), device);
  REQUIRE(write_pipeline_file(path, some_payload(device)).ok());
  CHECK(read_pipeline_file(path, device) == some_payload(device));
  PhysicalDevice other = device;
  other.info.vendor_id ^= 1;
  CHECK(read_pipeline_file(path, other).empty());
  other = device;
  other.info.device_id ^= 1;
  CHECK(read_pipeline_file(path, other).empty());
  other = device;
  other.pipeline_cache_uuid[15] ^= 1;
  CHECK(read_pipeline_file(path, other).empty());
  CHECK(pipeline_file_path(folder.path(), other) != path);
  other = device;
  other.driver_version = 7;
  CHECK(pipeline_file_path(folder.path(), other) != path);
}

TEST_CASE("vulkan_pipelines: any cut and any changed byte of a cache file is noticed") {
  const Folder folder;
  const PhysicalDevice device = some_device();
  const std::string path = pipeline_file_path(folder.path(), device);
  REQUIRE(write_pipeline_file(path, some_payload(device)).ok());
  const Bytes good = folder.read();
  REQUIRE(good.size() == 132);
  for (size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    folder.write(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    CHECK(read_pipeline_file(path, device).empty());
  }
  for (size_t i = 0; i < good.size(); ++i) {
    CAPTURE(i);
    Bytes bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    folder.write(bad);
    CHECK(read_pipeline_file(path, device).empty());
  }
}

TEST_CASE("vulkan_pipelines: a folder that does not exist is an error of saving, not of the work") {
  VulkanFixture fixture([](DeviceOptions& options) { options.pipeline_cache_folder = "/nonexistent/quire"; });
  const auto result = small_step(fixture.device());
  REQUIRE(result.ok());
  CHECK(*result == small_step_expected());
  CHECK_FALSE(fixture.device().save_pipeline_cache().ok());
  CHECK(small_step(fixture.device()).ok());
}

TEST_CASE("vulkan_pipelines: a pipeline is made once for a variant and once more for other constants") {
  VulkanShim shim;
  VulkanFixture fixture([&](DeviceOptions& options) { options.get_instance_proc_addr = shim.entry(); });
  for (int i = 0; i < 3; ++i) REQUIRE(small_step(fixture.device()).ok());
  CHECK(shim.calls("vkCreateComputePipelines") == 1);
  REQUIRE(fixture.device().prepare({KernelId::gather_columns, WeightType::none, {16, 1, 1}}).ok());
  CHECK(shim.calls("vkCreateComputePipelines") == 2);
}
