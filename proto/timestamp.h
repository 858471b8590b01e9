// Hybrid logical time: milliseconds since the Unix epoch << 18 | counter. Assigned by a group's
// leader, carried in its log, strictly rising in log order (Kulkarni et al., "Logical Physical
// Clocks", 2014, with a per-group counter).
#pragma once

#include <cstdint>

#include "proto/ids.h"

namespace kvd {

using Timestamp = Number<struct TimestampTag>;

inline constexpr int kTimestampCounterBits = 18;
inline constexpr Timestamp kTimestampMax{~uint64_t{0}};

// The first timestamp of a millisecond.
constexpr Timestamp TimestampFromMillis(uint64_t millis) {
  return Timestamp(millis << kTimestampCounterBits);
}

// Milliseconds since the Unix epoch.
constexpr uint64_t MillisOf(Timestamp timestamp) {
  return timestamp.value() >> kTimestampCounterBits;
}

}  // namespace kvd
