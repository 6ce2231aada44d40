// One function a verb: adds itself to the command line.
#pragma once

#include "command_line.hpp"

namespace quire_app {

void add_run(CommandLine& line);
void add_chat(CommandLine& line);
void add_tokenize(CommandLine& line);
void add_logits(CommandLine& line);
void add_eval(CommandLine& line);
void add_bench(CommandLine& line);
void add_devices(CommandLine& line);
void add_inspect(CommandLine& line);
void add_probe_speed(CommandLine& line);

}  // namespace quire_app
