// One function a verb: adds itself to the command line; when chosen, its callback leaves how it ended in `outcome`.
#pragma once

#include <CLI/CLI.hpp>

#include "outcome.hpp"

namespace quire_app {

void add_run(CLI::App& app, Outcome& outcome);
void add_chat(CLI::App& app, Outcome& outcome);
void add_tokenize(CLI::App& app, Outcome& outcome);
void add_logits(CLI::App& app, Outcome& outcome);
void add_eval(CLI::App& app, Outcome& outcome);
void add_bench(CLI::App& app, Outcome& outcome);
void add_devices(CLI::App& app, Outcome& outcome);
void add_inspect(CLI::App& app, Outcome& outcome);
void add_probe_speed(CLI::App& app, Outcome& outcome);

}  // namespace quire_app
