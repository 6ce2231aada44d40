// A made-up model for timing a device: layers of a small real one, random Q4_1 weights, as a GGUF file in memory.
#pragma once

#include <cstddef>
#include <vector>

namespace quire_app {

/// About 9 MB: 4 layers of 576 wide, 9 heads over 3, feed-forward 1536. Byte-level vocabulary, no template.
std::vector<std::byte> make_probe_model();

}  // namespace quire_app
