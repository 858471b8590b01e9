#include "raft/runtime/thread_worker.h"

#include <sys/resource.h>
#include <unistd.h>

namespace kvd {
namespace {
constexpr int kNice = 10;
}  // namespace

ThreadWorker::ThreadWorker() : thread_([this] { Thread(); }) {}

void ThreadWorker::Run(std::unique_ptr<Job> job) {
  std::lock_guard<std::mutex> lock(mutex_);
  jobs_.push_back(std::move(job));
  wake_.notify_one();
}

void ThreadWorker::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  jobs_.clear();
}

void ThreadWorker::Thread() {
  // On Linux a priority belongs to a thread. Without it the work is only less polite.
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job* job = jobs_.front().get();
    lock.unlock();
    bool more = job->Step();
    lock.lock();
    if (more) continue;
    std::unique_ptr<Job> done = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    done.reset();
    lock.lock();
  }
}

}  // namespace kvd
