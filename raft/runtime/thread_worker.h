// A worker that is a thread, of less weight than those that serve.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "raft/runtime/worker.h"

namespace kvd {

class ThreadWorker : public Worker {
 public:
  ThreadWorker();
  ~ThreadWorker() override { Stop(); }

  void Run(std::unique_ptr<Job> job) override;
  // Waits for the slice under way and drops all jobs. Once.
  void Stop();

 private:
  void Thread();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> jobs_;  // guarded by mutex_; the first one is under way
  bool stopping_ = false;                  // guarded by mutex_
  std::thread thread_;
};

}  // namespace kvd
