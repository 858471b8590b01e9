#include "tests/sim/scheduler.h"

namespace kvd::sim {

void Scheduler::At(MonotonicTime when, Task task) {
  queue_.push({std::max(when, now_), order_++, std::make_shared<Task>(std::move(task))});
}

bool Scheduler::RunOne() {
  if (queue_.empty()) return false;
  Event event = queue_.top();
  queue_.pop();
  now_ = event.when;
  ++events_;
  (*event.task)();
  if (after_event) after_event();
  return true;
}

void Scheduler::RunUntil(MonotonicTime end) {
  while (!queue_.empty() && queue_.top().when <= end) RunOne();
  now_ = std::max(now_, end);
}

class SimLoop::SimTimer : public Timer {
 public:
  explicit SimTimer(std::shared_ptr<bool> valid) : valid_(std::move(valid)) {}

 private:
  std::shared_ptr<bool> valid_;  // expires with the timer
};

SimLoop::SimLoop(Scheduler* scheduler, double rate, int64_t wall_offset_ms)
    : scheduler_(scheduler),
      rate_(rate),
      clock_then_(scheduler->now()),
      real_then_(scheduler->now()),
      wall_offset_ms_(wall_offset_ms),
      random_(scheduler->random().Fork()) {}

MonotonicTime SimLoop::Now() const {
  auto since = static_cast<double>((scheduler_->now() - real_then_).count());
  return clock_then_ + Duration(static_cast<int64_t>(since * rate_)) + skipped_;
}

void SimLoop::set_rate(double rate) {
  clock_then_ = Now() - skipped_;
  real_then_ = scheduler_->now();
  rate_ = rate;
}

uint64_t SimLoop::WallMillis() const {
  constexpr int64_t kEpochMillis = 1'700'000'000'000;
  auto since = std::chrono::duration_cast<milliseconds>(scheduler_->now().time_since_epoch());
  return static_cast<uint64_t>(kEpochMillis + since.count() + wall_offset_ms_);
}

SimLoop* SimLoop::running_ = nullptr;

void SimLoop::Run(Task& task) {
  running_ = this;
  bool crashed = false;
  try {
    task();
  } catch (const SimCrash&) {
    crashed = true;
  }
  running_ = nullptr;
  if (!crashed) return;
  auto on_crash = on_crash_;
  on_crash();
}

void SimLoop::RunAt(MonotonicTime when, const std::shared_ptr<Task>& task,
                    const std::weak_ptr<bool>& valid) {
  scheduler_->At(when, [this, task, valid, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || valid.expired()) return;
    if (scheduler_->now() < paused_until_) return RunAt(paused_until_, task, valid);
    Run(*task);
  });
}

std::unique_ptr<Timer> SimLoop::After(Duration delay, Task task) {
  auto valid = std::make_shared<bool>(true);
  auto real = Duration(static_cast<int64_t>(static_cast<double>(delay.count()) / rate_) + 1);
  RunAt(scheduler_->now() + real, std::make_shared<Task>(std::move(task)), valid);
  return std::make_unique<SimTimer>(std::move(valid));
}

void SimLoop::Post(Task task) {
  RunAt(scheduler_->now(), std::make_shared<Task>(std::move(task)), alive_);
}

}  // namespace kvd::sim
