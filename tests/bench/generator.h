// Puts load on a target and measures. Closed loop: so many operations are under way at any time.
// Open loop: operations arrive at a rate whatever the target does, and each counts from when it
// should have begun, so that a stall is not hidden by the load it held back (coordinated omission).
#pragma once

#include <array>
#include <condition_variable>
#include <mutex>

#include "tests/bench/histogram.h"
#include "tests/bench/target.h"

namespace kvd::bench {

struct LoadOptions {
  int in_flight = 64;  // closed loop; open loop: most under way, beyond it arrivals wait
  double rate = 0;     // operations a second; 0: closed loop
  double warmup_seconds = 1;
  double seconds = 5;
  uint64_t operations = 0;      // ends after so many, if not 0, without warm-up
  double give_up_seconds = 20;  // without any operation ending, once nothing more is begun
};

struct LoadResult {
  double seconds = 0;
  uint64_t operations = 0;
  uint64_t errors = 0;
  uint64_t rows = 0;
  double longest_gap_seconds = 0;  // without any operation that succeeded
  // With the warm-up, and with what was under way at its end.
  double whole_seconds = 0;
  uint64_t whole_operations = 0;
  uint64_t unfinished =
      0;  // given up; counted as errors. The target may still call back: don't end it
  Histogram all;
  std::array<Histogram, static_cast<size_t>(Kind::kKinds)> by_kind;
};

class Generator {
 public:
  Generator(Target* target, Workload workload, const LoadOptions& options);
  // Told when the warm-up has ended and when the measurement has; on the target's thread.
  std::function<void()> on_measure, on_end;
  // Paces the load from the calling thread: the loops' own timers are exact to a millisecond only.
  LoadResult Run();

 private:
  using Time = std::chrono::steady_clock::time_point;

  void Start();
  void Issue(Time intended);
  // Begins what is due; ends the run if its time is over or it is stuck.
  void Turn();
  void IssueDue(Time now);
  void Ended(Kind kind, Time intended, bool ok, uint64_t rows);
  void Count(Time now, Kind kind, Time intended, bool ok, uint64_t rows);
  void EndMeasurement(Time now);
  bool Enough() const { return options_.operations != 0 && issued_ >= options_.operations; }
  void Finish(Time now);

  Target* const target_;
  Workload workload_;
  const LoadOptions options_;
  // Of the target's thread.
  Time started_, measure_from_, end_, last_success_, last_ended_, next_arrival_;
  bool measuring_ = false;
  bool ending_ = false;    // nothing more is begun
  bool finished_ = false;  // what still ends is not counted
  uint64_t issued_ = 0;
  uint64_t open_ = 0;
  LoadResult result_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;  // guarded by mutex_
};

}  // namespace kvd::bench
