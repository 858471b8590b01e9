// The event loop that owns components: the only source of time, timers and randomness they have.
// In production a loop is a thread; in simulation it is a place in a seeded scheduler.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "raft/runtime/random.h"
#include "raft/runtime/time.h"

namespace kvd {

using Task = absl::AnyInvocable<void()>;

// Destroying it cancels the call, unless that has begun.
class Timer {
 public:
  virtual ~Timer() = default;
};

class Loop {
 public:
  virtual ~Loop() = default;

  // Both only from the loop itself.
  virtual MonotonicTime Now() const = 0;
  virtual std::unique_ptr<Timer> After(Duration delay, Task task) = 0;

  // Milliseconds since the Unix epoch on this machine's wall clock; may jump.
  virtual uint64_t WallMillis() const = 0;

  // Runs `task` on the loop, after everything posted before it from the same thread. Thread-safe.
  // After the loop has stopped the task is destroyed without being run.
  virtual void Post(Task task) = 0;

  // Owned by the loop; only from the loop itself.
  virtual Random& random() = 0;

  // Whether somebody waits for what this loop is to be told soon: then it may stay awake for that.
  // A hint; only from the loop itself.
  virtual void ExpectSoon(bool) {}
};

}  // namespace kvd
