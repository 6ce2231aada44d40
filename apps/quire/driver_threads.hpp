// Which processors a software Vulkan driver's threads run on. A driver hands each dispatch to threads that sleep in between. Linux wakes a thread near its
// waker: short dispatches then run one thread after the other on one processor, while another idles. The program gives each of these threads a processor
// of its own; the library leaves a host's threads alone.
#pragma once

#include <cstdint>
#include <vector>

namespace quire_app {

class DriverThreads {
 public:
  /// Notes the threads that run before the driver is loaded.
  DriverThreads();

  /// Binds the threads started since, in the order of their start, to the processors that this process may use, in turn. Only where the driver is Mesa's
  /// lavapipe and has as many workers as there are processors: fewer ones the system places better. Returns how many workers; 0: nothing is bound.
  /// Called again it does the same.
  uint32_t spread() const;

 private:
  std::vector<int> before_;
};

}  // namespace quire_app
