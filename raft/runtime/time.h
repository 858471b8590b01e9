// Time as components see it: never read from the machine, always given by a Loop.
#pragma once

#include <chrono>
#include <cstdint>

namespace kvd {

using Duration = std::chrono::nanoseconds;
using std::chrono::milliseconds;

// Tag of a clock that rises steadily, also while the machine sleeps (CLOCK_BOOTTIME). Means nothing
// outside the process and is not comparable between machines.
struct BoottimeClock {
  // NOLINTBEGIN(readability-identifier-naming): what std::chrono asks of a clock.
  using rep = int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<BoottimeClock>;
  static constexpr bool is_steady = true;
  // NOLINTEND(readability-identifier-naming)
};

using MonotonicTime = BoottimeClock::time_point;

// Long before every real reading, yet far enough from the limit to subtract from.
inline constexpr MonotonicTime kLongAgo{Duration{-(int64_t{1} << 61)}};

// Until the next multiple of `interval` on this clock. Who does something regularly at such times
// does it when all others do: it costs one waking, and what is sent leaves together.
constexpr Duration UntilNext(MonotonicTime now, Duration interval) {
  return interval - now.time_since_epoch() % interval;
}

}  // namespace kvd
