#include "command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <utility>

namespace quire_app {

template <class T>
Flag Flag::range(T least, T most) const {
  option_->check(CLI::Range(least, most));
  return *this;
}
template Flag Flag::range(int, int) const;
template Flag Flag::range(uint32_t, uint32_t) const;
template Flag Flag::range(uint64_t, uint64_t) const;
template Flag Flag::range(double, double) const;

Flag Flag::show_default() const {
  option_->capture_default_str();
  return *this;
}

Flag Flag::required() const {
  option_->required();
  return *this;
}

Flag Flag::needs(Flag other) const {
  option_->needs(other.option_);
  return *this;
}

Flag Flag::excludes(Flag other) const {
  option_->excludes(other.option_);
  return *this;
}

bool Flag::given() const { return option_->count() > 0; }

template <class T>
Flag Verb::add(const char* names, T& value, const char* text) const {
  return Flag(*app_->add_option(names, value, text));
}
template Flag Verb::add(const char*, std::string&, const char*) const;
template Flag Verb::add(const char*, uint32_t&, const char*) const;
template Flag Verb::add(const char*, uint64_t&, const char*) const;
template Flag Verb::add(const char*, int64_t&, const char*) const;
template Flag Verb::add(const char*, float&, const char*) const;
template Flag Verb::add(const char*, double&, const char*) const;

template <class T>
Flag Verb::add_list(const char* names, std::vector<T>& values, const char* text) const {
  return Flag(*app_->add_option(names, values, text)->delimiter(',')->allow_extra_args(false));
}
template Flag Verb::add_list(const char*, std::vector<std::string>&, const char*) const;
template Flag Verb::add_list(const char*, std::vector<uint32_t>&, const char*) const;

Flag Verb::add_switch(const char* names, bool& value, const char* text) const { return Flag(*app_->add_flag(names, value, text)); }

void Verb::footer(const char* text) const { app_->footer(text); }

void Verb::hide() const { app_->group(""); }

void Verb::on_chosen(std::function<Outcome()> action) const {
  app_->callback([action = std::move(action), outcome = outcome_] { *outcome = action(); });
}

CommandLine::CommandLine(const char* description, const char* version, const char* footer) : app_(std::make_unique<CLI::App>(description, "quire")) {
  app_->require_subcommand(1);
  app_->set_version_flag("--version", version);
  app_->footer(footer);
}

CommandLine::~CommandLine() = default;

Verb CommandLine::add_verb(const char* name, const char* text) { return {*app_->add_subcommand(name, text), outcome_}; }

Outcome CommandLine::run(std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // the parser takes them from the end
  try {
    app_->parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return {app_->exit(error) == 0 ? kExitOk : kExitUsage, ""};
  }
  return outcome_;
}

}  // namespace quire_app
