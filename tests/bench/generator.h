// Puts load on a target and measures. Closed loop: so many operations are under way at any time. Open
// loop: operations arrive at a rate whatever the target does, and each counts from when it should
// have begun, so that a stall is not hidden by the load it held back (coordinated omission).
#pragma once

#include <array>
#include <condition_variable>
#include <mutex>

#include "tests/bench/histogram.h"
#include "tests/bench/target.h"

namespace kvd::bench {

struct LoadOptions {
  int in_flight = 64;        // closed loop; open loop: most under way, beyond it arrivals wait
  double rate = 0;           // operations a second; 0: closed loop
  double warmup_seconds = 1;
  double seconds = 5;
  uint64_t operations = 0;   // ends after so many, if not 0, without warm-up
};

struct LoadResult {
  double seconds = 0;
  uint64_t operations = 0;
  uint64_t errors = 0;
  uint64_t rows = 0;
  double longest_gap_seconds = 0;  // without any operation that succeeded
  Histogram all;
  std::array<Histogram, static_cast<size_t>(Kind::kKinds)> by_kind;
};

class Generator {
 public:
  Generator(Target* target, Workload workload, const LoadOptions& options);
  // Told when the warm-up has ended and when the measurement has; on the target's thread.
  std::function<void()> on_measure, on_end;
  LoadResult Run();

 private:
  using Time = std::chrono::steady_clock::time_point;

  void Start();
  void Issue(Time intended);
  void Arrive();
  void Ended(Kind kind, Time intended, bool ok, uint64_t rows);

  Target* const target_;
  Workload workload_;
  const LoadOptions options_;
  Time started_, measure_from_, end_, last_success_, next_arrival_;
  bool measuring_ = false;
  bool ending_ = false;
  uint64_t issued_ = 0;
  int open_ = 0;
  LoadResult result_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;  // guarded by mutex_
};

}  // namespace kvd::bench
