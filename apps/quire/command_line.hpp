// The command line while it is described: verbs, and the flags of each. CLI11 stays behind these classes: it makes a file compile for 10 s more.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "outcome.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace quire_app {

/// A flag, or an argument without a name, of one verb. Borrowed from the command line, which it must not outlive.
class Flag {
 public:
  explicit Flag(CLI::Option& option) : option_(&option) {}

  /// A value outside of least...most is wrong usage. T, which the help names: int, uint32_t, uint64_t or double.
  template <class T>
  Flag range(T least, T most) const;
  /// The help shows the value that the variable had when the flag was added.
  Flag show_default() const;
  Flag required() const;
  /// Wrong usage without the other.
  Flag needs(Flag other) const;
  /// Wrong usage together with the other.
  Flag excludes(Flag other) const;
  /// Requires: the command line is parsed.
  bool given() const;

 private:
  CLI::Option* option_;
};

/// A verb while it is described. Borrowed from the command line, which it must not outlive, nor may the variables that it is given end before.
class Verb {
 public:
  Verb(CLI::App& app, Outcome& outcome) : app_(&app), outcome_(&outcome) {}

  /// A flag with a value, `names` as "-m,--model", or an argument, as "MODEL". T: std::string, uint32_t, uint64_t, int64_t, float or double.
  template <class T>
  Flag add(const char* names, T& value, const char* text) const;
  /// A flag that takes a list as llama-bench does, 64,512, or that is given several times. T: std::string or uint32_t.
  template <class T>
  Flag add_list(const char* names, std::vector<T>& values, const char* text) const;
  /// A flag without a value; a name after "!" sets false.
  Flag add_switch(const char* names, bool& value, const char* text) const;
  /// What the help ends with.
  void footer(const char* text) const;
  /// The help of the program does not list it.
  void hide() const;
  /// Called when the command line is right and has this verb.
  void on_chosen(std::function<Outcome()> action) const;

 private:
  CLI::App* app_;
  Outcome* outcome_;           ///< of the command line
};

class CommandLine {
 public:
  CommandLine(const char* description, const char* version, const char* footer);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  Verb add_verb(const char* name, const char* text);
  /// Acts as the arguments say, which come without the program's name. Help, the version and messages about wrong usage are printed here.
  /// On error: kExitUsage without a message; what the verb answers.
  Outcome run(std::vector<std::string> arguments);

 private:
  std::unique_ptr<CLI::App> app_;
  Outcome outcome_;
};

}  // namespace quire_app
