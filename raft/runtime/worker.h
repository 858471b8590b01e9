// Work that takes too long for a loop, done away from it in slices. In production a worker is a
// thread; in simulation its slices are events of the loop.
#pragma once

#include <memory>

namespace kvd {

class Job {
 public:
  virtual ~Job() = default;
  // Does a slice, some milliseconds of work. False: it was the last one.
  virtual bool Step() = 0;
};

class Worker {
 public:
  virtual ~Worker() = default;
  // Runs the job's slices to their end, one job after the other, then destroys it. A job whose turn
  // has not ended when the worker ends is destroyed as it is. Thread-safe.
  virtual void Run(std::unique_ptr<Job> job) = 0;
};

}  // namespace kvd
