// How many bits wide a software Vulkan driver computes. Mesa's lavapipe reads LP_NATIVE_VECTOR_WIDTH when it is loaded and takes 256 without it;
// where 512 is measured to be faster, the program sets it for itself. The library never does: the width changes the lanes and so the rounding.
#pragma once

#include <cstdint>
#include <string>

#include "flags.hpp"

namespace quire_app {

enum class WidthSource {
  off,          ///< --no-tune, or no Vulkan device is asked for
  user,         ///< the variable was set
  remembered,
  measured,     ///< just now
};

struct VectorWidth {
  WidthSource source = WidthSource::off;
  uint32_t bits = 0;      ///< 0: the driver's own choice
  std::string device;     ///< remembered, measured: what it was measured on
  std::string driver;
  std::string reason;     ///< remembered, measured: the figures, or why there are none
};

/// Requires: the Vulkan driver was not loaded yet, no other thread runs. Sets the variable where the file beside the pipeline cache says so.
/// Where it says nothing about this device, environment and processor, measures once in child processes, for at most a minute, and writes it.
/// Whatever fails leaves the driver's default. Never an error; after Ctrl-C nothing is remembered.
VectorWidth choose_vector_width(const ModelFlags& flags);

/// Drops what is remembered if it was measured with another driver than the one that was loaded: the next start measures again.
void confirm_vector_width(const VectorWidth& width, const ModelFlags& flags, const std::string& driver);

/// One line for a person.
std::string describe(const VectorWidth& width);

}  // namespace quire_app
