// Processor time, which other work on the machine does not lengthen, for tests that bound it.
#pragma once

#include <ctime>

namespace quire::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr double kSanitizerSlowdown = 10.0;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr double kSanitizerSlowdown = 10.0;
#else
inline constexpr double kSanitizerSlowdown = 1.0;
#endif
#else
inline constexpr double kSanitizerSlowdown = 1.0;
#endif

class CpuTime {
 public:
  /// Seconds of this process since construction, as they would be without a sanitizer.
  double seconds() const { return static_cast<double>(std::clock() - begin_) / CLOCKS_PER_SEC / kSanitizerSlowdown; }

 private:
  std::clock_t begin_ = std::clock();
};

}  // namespace quire::testing
