// The simulator's heart: one thread, one seed, virtual time. Events run in order of time, then of
// posting; nothing else decides. Loops of simulated machines have clocks that drift and end with
// their machine.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <vector>

#include "raft/runtime/loop.h"

namespace kvd::sim {

class Scheduler {
 public:
  explicit Scheduler(uint64_t seed) : random_(seed) {}

  MonotonicTime now() const { return now_; }
  Random& random() { return random_; }
  uint64_t events() const { return events_; }

  void At(MonotonicTime when, Task task);
  void After(Duration delay, Task task) { At(now_ + delay, std::move(task)); }

  // Runs one event; false if there is none.
  bool RunOne();
  // Runs all events until then.
  void RunUntil(MonotonicTime end);

  // Called after every event.
  std::function<void()> after_event;

 private:
  struct Event {
    MonotonicTime when;
    uint64_t order;
    std::shared_ptr<Task> task;
    bool operator>(const Event& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };

  Random random_;
  MonotonicTime now_{std::chrono::hours(1)};
  uint64_t events_ = 0;
  uint64_t order_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
};

// Thrown by what runs on a loop: its process ends there and then.
struct SimCrash {};

// A machine's loop. Destroyed with the process it belongs to: pending tasks and timers are dropped.
class SimLoop : public Loop {
 public:
  // Its clock runs `rate` times as fast as real time; its wall clock is off by `wall_offset_ms`.
  SimLoop(Scheduler* scheduler, double rate, int64_t wall_offset_ms);

  MonotonicTime Now() const override;
  std::unique_ptr<Timer> After(Duration delay, Task task) override;
  uint64_t WallMillis() const override;
  void Post(Task task) override;
  Random& random() override { return random_; }

  // Nothing runs until then: a stopped process, a stalled disk under it.
  void PauseUntil(MonotonicTime when) { paused_until_ = when; }
  // It stood still just now, in the midst of what it does, and goes on: its clock alone tells.
  void Skip(Duration duration) { skipped_ += duration; }
  void Delay(Duration duration) { PauseUntil(scheduler_->now() + duration); }

  // The loop whose task is running, null if none is.
  static SimLoop* Running() { return running_; }
  // Called when a task threw SimCrash; it may destroy the loop.
  void set_on_crash(std::function<void()> on_crash) { on_crash_ = std::move(on_crash); }
  bool may_crash() const { return on_crash_ != nullptr; }
  void set_wall_offset_ms(int64_t offset) { wall_offset_ms_ = offset; }
  // How fast its clock runs from now on. What it waits for already, it waits for as before.
  void set_rate(double rate);

 private:
  class SimTimer;
  void Run(Task& task);
  void RunAt(MonotonicTime when, const std::shared_ptr<Task>& task,
             const std::weak_ptr<bool>& valid);

  Scheduler* const scheduler_;
  double rate_;
  // Its clock and real time when its rate was set.
  MonotonicTime clock_then_;
  MonotonicTime real_then_;
  int64_t wall_offset_ms_;
  MonotonicTime paused_until_ = kLongAgo;
  Duration skipped_{};
  std::function<void()> on_crash_;
  static SimLoop* running_;
  Random random_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::sim
