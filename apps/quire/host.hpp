// Opening an engine and a model from flags, with messages and progress for a person at a terminal.
#pragma once

#include <cstdint>
#include <string>

#include "flags.hpp"
#include "outcome.hpp"
#include "quire/quire.hpp"

namespace quire_app {

/// Whether kernels are measured on the device.
enum class KernelTimes { off, on };

/// --device as a backend and the words that select in it.
void choose_backend(const std::string& device, quire_engine_options& options);

/// `bound_workers`, if given, becomes the number of a software driver's threads that got a processor of their own (DriverThreads); not with --no-tune.
Outcome open_engine(const ModelFlags& flags, KernelTimes times, quire_cpp::Engine& engine, uint32_t* bound_workers = nullptr);
/// Ctrl-C cancels the load: kExitInterrupted.
Outcome open_model(const ModelFlags& flags, const quire_cpp::Engine& engine, quire_cpp::Model& model);
Outcome open_session(const ModelFlags& flags, const quire_cpp::Model& model, quire_cpp::Session& session);
/// What ends a verb when the model's own template is not recognised. Requires: the model's last call failed for that.
Outcome unknown_template(const quire_cpp::Model& model);

/// One message for a person, on stderr.
void say(const std::string& message);

/// For quire_session_run: false once Ctrl-C was pressed.
int keep_going_unless_interrupted(void* user);

}  // namespace quire_app
