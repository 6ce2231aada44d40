// quire: the program. Everything it does goes through the public header, as any other host would.
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "host.hpp"
#include "terminal.hpp"
#include "verbs.hpp"

namespace {

constexpr const char* kFooter = R"(
Examples:
  quire run smollm2 "Why is the sky blue?"
  echo "Once upon a time" | quire run smollm2 --raw -n 50 --temp 0
  quire chat smollm2
  quire bench smollm2 -p 64 -n 32 -d 0 --json
  quire eval smollm2 --text book.txt --context 512

Exit codes:
  0    done
  1    an error while running (the message says which), or the context is full
  2    wrong usage: unknown flag, value out of range, empty prompt
  3    the model file is missing, unreadable, damaged or not supported
  4    the device is missing, refused, lost or hangs
  5    out of host memory, device memory or pages
  6    bench --compare: slower than the earlier run by more than --max-loss
  130  stopped by Ctrl-C
  141  the reader of standard output went away)";

// llama.cpp's flags of several letters after one dash, which the parser would read as bundled letters.
constexpr struct {
  std::string_view given;
  const char* meant;
} kLongFlags[] = {{"-ctk", "--kv-k"}, {"-ctv", "--kv-v"}, {"-ub", "--chunk"}, {"-sys", "--system"}};

std::vector<std::string> arguments_of(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) arguments.emplace_back(argv[i]);
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    for (const auto& flag : kLongFlags)
      if (argument == flag.given) argument = flag.meant;
  }
  return arguments;
}

int run(int argc, char** argv) {
  quire_app::catch_signals();
  quire_app::CommandLine line("Runs language models on GPUs through Vulkan, with a paged KV cache.", quire_version(), kFooter);
  quire_app::add_run(line);
  quire_app::add_chat(line);
  quire_app::add_tokenize(line);
  quire_app::add_logits(line);
  quire_app::add_eval(line);
  quire_app::add_bench(line);
  quire_app::add_devices(line);
  quire_app::add_inspect(line);
  quire_app::add_probe_speed(line);
  const quire_app::Outcome outcome = line.run(arguments_of(argc, argv));
  if (!outcome.message.empty()) quire_app::say(outcome.message);
  return outcome.code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    quire_app::say("out of host memory");
    return quire_app::kExitMemory;
  } catch (const std::exception& exception) {
    quire_app::say(exception.what());
    return quire_app::kExitRuntime;
  }
}
