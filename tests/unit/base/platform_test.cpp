// Files of the system: what is refused, what a failed write leaves, and libraries opened at run time.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "engine/platform/byte_source.hpp"
#include "engine/platform/dynamic_library.hpp"
#include "engine/platform/file.hpp"

using namespace quire;
namespace fs = std::filesystem;

namespace {

/// A folder of its own for one test, gone with it.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "quire-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const char* name) const { return (path_ / name).string(); }
  size_t file_count() const { return static_cast<size_t>(std::distance(fs::directory_iterator(path_), fs::directory_iterator())); }

 private:
  fs::path path_;
};

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void write(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

}  // namespace

TEST_CASE("file_source: reads any range inside the file and refuses every range that ends outside") {
  const Folder folder;
  write(folder.file("data"), "0123456789");
  const auto source = FileSource::open(folder.file("data"));
  REQUIRE(source.ok());
  CHECK((*source)->size_bytes() == 10);
  std::vector<std::byte> out(4);
  CHECK((*source)->read_at(6, out).ok());
  CHECK(out == bytes_of("6789"));
  CHECK((*source)->read_at(10, std::span<std::byte>()).ok());
  for (const uint64_t offset : {uint64_t{7}, uint64_t{10}, uint64_t{11}, ~uint64_t{0}, ~uint64_t{0} - 3}) {
    CHECK((*source)->read_at(offset, out).code() == Code::invalid_argument);
  }
}

TEST_CASE("file_source: refuses what is no readable, filled, regular file, and never waits") {
  const Folder folder;
  CHECK(FileSource::open("").code() == Code::invalid_argument);
  CHECK(FileSource::open(std::string("a\0b", 3)).code() == Code::invalid_argument);
  CHECK(FileSource::open(folder.file("absent")).code() == Code::not_found);
  CHECK(FileSource::open(folder.file(".")).code() == Code::io);
  CHECK(FileSource::open("/dev/zero").code() == Code::io);
  write(folder.file("empty"), "");
  CHECK(FileSource::open(folder.file("empty")).code() == Code::io);
  REQUIRE(::mkfifo(folder.file("fifo").c_str(), 0600) == 0);
  CHECK(FileSource::open(folder.file("fifo")).code() == Code::io);
  fs::create_symlink(folder.file("loop"), folder.file("loop"));
  CHECK_FALSE(FileSource::open(folder.file("loop")).ok());
  if (::geteuid() != 0) {
    write(folder.file("secret"), "x");
    fs::permissions(folder.file("secret"), fs::perms::none);
    CHECK(FileSource::open(folder.file("secret")).code() == Code::io);
  }
}

TEST_CASE("file_source: a file that shrinks after it was opened is an io error") {
  const Folder folder;
  write(folder.file("data"), "0123456789");
  const auto source = FileSource::open(folder.file("data"));
  REQUIRE(source.ok());
  fs::resize_file(folder.file("data"), 4);
  std::vector<std::byte> out(8);
  const Status status = (*source)->read_at(0, out);
  CHECK(status.code() == Code::io);
  CHECK(status.error().message.find("byte 4") != std::string::npos);
}

TEST_CASE("callback_source: asks only for ranges inside and passes a failure on") {
  struct Archive {
    std::string text = "archive";
    int answer = 0;
    int calls = 0;
  } archive;
  const auto read_at = [](void* user, uint64_t offset, void* out, size_t size) {
    auto& from = *static_cast<Archive*>(user);
    ++from.calls;
    from.text.copy(static_cast<char*>(out), size, static_cast<size_t>(offset));
    return from.answer;
  };
  CHECK(CallbackSource::create(nullptr, &archive, 1).code() == Code::invalid_argument);
  CHECK(CallbackSource::create(read_at, &archive, 0).code() == Code::invalid_argument);
  const auto source = CallbackSource::create(read_at, &archive, archive.text.size());
  REQUIRE(source.ok());
  std::vector<std::byte> out(3);
  CHECK((*source)->read_at(4, out).ok());
  CHECK(out == bytes_of("ive"));
  CHECK((*source)->read_at(5, out).code() == Code::invalid_argument);
  CHECK((*source)->read_at(0, std::span<std::byte>()).ok());
  CHECK(archive.calls == 1);
  archive.answer = -5;
  CHECK((*source)->read_at(0, out).code() == Code::io);
}

TEST_CASE("write_file_atomically: the old content or the new is there, and nothing else is left") {
  const Folder folder;
  const std::string path = folder.file("cache");
  CHECK(write_file_atomically(path, bytes_of("first")).ok());
  CHECK(write_file_atomically(path, bytes_of("second")).ok());
  const auto content = read_small_file(path, 100);
  REQUIRE(content.ok());
  CHECK(*content == bytes_of("second"));
  CHECK(folder.file_count() == 1);

  // A folder in the place of the file: the rename fails after everything was written.
  REQUIRE(make_folder(folder.file("taken")).ok());
  write(folder.file("taken/inside"), "x");
  CHECK_FALSE(write_file_atomically(folder.file("taken"), bytes_of("third")).ok());
  CHECK(folder.file_count() == 2);
  CHECK(write_file_atomically(folder.file("absent/cache"), bytes_of("x")).code() == Code::not_found);
}

TEST_CASE("read_small_file: refuses more than the cap and what is no file; an empty file is empty") {
  const Folder folder;
  write(folder.file("ten"), "0123456789");
  CHECK(read_small_file(folder.file("ten"), 10).ok());
  CHECK(read_small_file(folder.file("ten"), 9).code() == Code::invalid_argument);
  CHECK(read_small_file(folder.file("absent"), 9).code() == Code::not_found);
  CHECK(read_small_file(folder.file("."), 9).code() == Code::io);
  write(folder.file("empty"), "");
  const auto empty = read_small_file(folder.file("empty"), 0);
  REQUIRE(empty.ok());
  CHECK(empty->empty());
}

TEST_CASE("make_folder: an existing folder is no error, a missing parent and a file in its place are") {
  const Folder folder;
  CHECK(make_folder(folder.file("new")).ok());
  CHECK(make_folder(folder.file("new")).ok());
  CHECK(make_folder(folder.file("a/b")).code() == Code::not_found);
  write(folder.file("file"), "x");
  CHECK(make_folder(folder.file("file")).code() == Code::io);
}

TEST_CASE("dynamic_library: finds a symbol, answers null for another, and names a library that is not there") {
  const auto absent = DynamicLibrary::open("libquire-has-no-such-library.so");
  CHECK(absent.code() == Code::not_found);
  CHECK(absent.error().message.find("no-such-library") != std::string::npos);
  auto library = DynamicLibrary::open("libm.so.6");
  REQUIRE(library.ok());
  DynamicLibrary moved = std::move(*library);
  CHECK(moved.lookup("cosf") != nullptr);
  CHECK(moved.lookup("quire_no_such_function") == nullptr);
  CHECK(library->lookup("cosf") == nullptr);
}
