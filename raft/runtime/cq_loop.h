// The production loop: a thread that turns a gRPC completion queue, so that network events, timers
// and posted tasks run one after the other without a hand-off.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <thread>

#include "raft/runtime/loop.h"
#include "raft/runtime/mutex.h"
#include "raft/runtime/patience.h"

namespace kvd {

// What a gRPC operation started on the loop's queue is tagged with; called on the loop.
class CqTag {
 public:
  virtual ~CqTag() = default;
  virtual void Proceed(bool ok) = 0;
};

// A tag for one operation: calls the function and is gone.
class CqOnce : public CqTag {
 public:
  static CqTag* Make(absl::AnyInvocable<void(bool)> callback) {
    return new CqOnce(std::move(callback));
  }
  void Proceed(bool ok) override {
    callback_(ok);
    delete this;
  }

 private:
  explicit CqOnce(absl::AnyInvocable<void(bool)> callback) : callback_(std::move(callback)) {}
  absl::AnyInvocable<void(bool)> callback_;
};

class CqLoop : public Loop {
 public:
  // Takes the queue: a server's, or a plain one.
  explicit CqLoop(std::unique_ptr<grpc::CompletionQueue> queue);
  // Requires: not running.
  ~CqLoop() override;

  grpc::CompletionQueue* queue() { return queue_.get(); }

  // Runs the loop on the calling thread until Stop.
  void Run();
  // Makes Run return soon. Thread-safe.
  void Stop();
  // After Run has returned: lets every operation under way end with ok = false. Tags still live.
  // Servers that use the queue must have been shut down. `quiet`: without an event for so long, no
  // operation is taken to start another one.
  void Drain(Duration quiet = milliseconds(100));

  MonotonicTime Now() const override;
  std::unique_ptr<Timer> After(Duration delay, Task task) override;
  uint64_t WallMillis() const override;
  void Post(Task task) override;
  Random& random() override { return random_; }
  void ExpectSoon(bool expected) override { expected_ = expected; }

  // How often it was away from its queue for longer than kLate: nothing was answered meanwhile.
  // Thread-safe.
  uint64_t late_turns() const { return late_turns_; }
  static constexpr Duration kLate = milliseconds(100);

 private:
  class CqTimer;
  class Wakeup : public CqTag {
   public:
    void Proceed(bool) override {}
  };
  struct TimerEntry {
    MonotonicTime when;
    Task task;
  };

  void RunDueTimers();
  void RunPosted();
  void Proceed(void* tag, bool ok);
  // The next event, or none within `wait`.
  bool Next(Duration wait, void** tag, bool* ok);
  // Whether the caller must now Wake: nobody else has.
  bool MustWake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);
  bool OnLoop() const { return std::this_thread::get_id() == thread_.load(); }

  const std::unique_ptr<grpc::CompletionQueue> queue_;
  std::atomic<std::thread::id> thread_{};
  std::atomic<bool> stopped_{false};
  std::atomic<uint64_t> late_turns_{0};
  Random random_;

  // Owned by the loop.
  uint64_t next_timer_ = 1;
  std::map<std::pair<MonotonicTime, uint64_t>, Task> timers_;
  std::deque<Task> local_;
  bool expected_ = false;
  Patience patience_;

  // From other threads.
  Mutex mutex_;
  std::deque<Task> posted_ ABSL_GUARDED_BY(mutex_);
  // An alarm is set, or about to be, and not yet seen.
  bool waking_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<int> setting_{0};  // how many raised waking_ and are not done with the alarm
  grpc::Alarm alarm_;            // belongs to whoever raised waking_
  Wakeup wakeup_;
};

}  // namespace kvd
