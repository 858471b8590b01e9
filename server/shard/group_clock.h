// The physical part of a group's timestamps, as its leader sees it: follows the lower median of the
// voters' wall clocks, never one store's, and runs at most twice as fast as real time when that
// median jumps ahead by over a minute. Never runs backwards. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "proto/timestamp.h"
#include "raft/runtime/time.h"

namespace kvd::shard {

class GroupClock {
 public:
  // Forgets the past: a new leader trusts the median it finds.
  void Restart() { started_ = false; }

  // Milliseconds since the Unix epoch. `median_ms` is the voters' median at `now`.
  uint64_t Millis(uint64_t median_ms, MonotonicTime now) {
    if (!started_) {
      started_ = true;
      millis_ = median_ms;
      at_ = now;
      return millis_;
    }
    auto elapsed =
        static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(now - at_).count());
    bool jump = median_ms > millis_ + elapsed + kJumpMillis;
    uint64_t millis = jump ? millis_ + 2 * elapsed : std::max(millis_, median_ms);
    if (millis != millis_) {
      millis_ = millis;
      at_ = now;
    }
    return millis_;
  }

 private:
  static constexpr uint64_t kJumpMillis = 60'000;

  bool started_ = false;
  uint64_t millis_ = 0;
  MonotonicTime at_;
};

}  // namespace kvd::shard
