#include "raft/runtime/cq_loop.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "proto/check.h"

namespace kvd {
namespace {

uint64_t Seed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

gpr_timespec FromNow(Duration d) {
  // gRPC rounds deadlines up to milliseconds: "now" could mean a millisecond of waiting.
  if (d <= Duration::zero()) return gpr_inf_past(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(d.count(), GPR_TIMESPAN));
}

// How many network events are taken, and for how long, before timers and posted work get their
// turn: large messages take milliseconds each, and heartbeats leave by a timer.
constexpr int kEventsPerTurn = 256;
constexpr Duration kEventsFor = milliseconds(5);

// How long a loop looks for what is expected before it sleeps: a round with syncs of good disks.
constexpr Duration kLookFor = std::chrono::microseconds(500);

}  // namespace

class CqLoop::CqTimer : public Timer {
 public:
  CqTimer(CqLoop* loop, MonotonicTime when, uint64_t id) : loop_(loop), when_(when), id_(id) {}
  ~CqTimer() override { loop_->timers_.erase({when_, id_}); }

 private:
  CqLoop* const loop_;
  const MonotonicTime when_;
  const uint64_t id_;
};

CqLoop::CqLoop(std::unique_ptr<grpc::CompletionQueue> queue)
    : queue_(std::move(queue)), random_(Seed()) {}

CqLoop::~CqLoop() = default;

MonotonicTime CqLoop::Now() const {
  timespec t;
  KVD_CHECK(clock_gettime(CLOCK_BOOTTIME, &t) == 0);
  return MonotonicTime(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

uint64_t CqLoop::WallMillis() const {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

std::unique_ptr<Timer> CqLoop::After(Duration delay, Task task) {
  auto when = Now() + delay;
  uint64_t id = next_timer_++;
  timers_.emplace(std::pair(when, id), std::move(task));
  return std::make_unique<CqTimer>(this, when, id);
}

void CqLoop::Post(Task task) {
  if (OnLoop()) {
    local_.push_back(std::move(task));
    return;
  }
  bool must_wake;
  {
    MutexLock lock(&mutex_);
    if (stopped_) return;
    posted_.push_back(std::move(task));
    must_wake = MustWake();
  }
  if (must_wake) Wake();
}

bool CqLoop::MustWake() {
  if (waking_) return false;
  waking_ = true;
  ++setting_;
  return true;
}

// Not under the mutex: the loop would wake only to wait for it.
void CqLoop::Wake() {
  alarm_.Set(queue_.get(), gpr_time_0(GPR_CLOCK_MONOTONIC), static_cast<CqTag*>(&wakeup_));
  --setting_;
}

void CqLoop::Stop() {
  bool must_wake;
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    must_wake = MustWake();
  }
  if (must_wake) Wake();
}

void CqLoop::RunDueTimers() {
  auto now = Now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Task task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
  }
}

void CqLoop::RunPosted() {
  std::deque<Task> tasks;
  {
    MutexLock lock(&mutex_);
    tasks.swap(posted_);
  }
  while (!local_.empty()) {
    tasks.push_back(std::move(local_.front()));
    local_.pop_front();
  }
  for (Task& task : tasks) task();
}

// To be woken takes time: some 30 us on an idle virtual processor, more if it was idle for long.
// Whoever else can run does so meanwhile.
bool CqLoop::Next(Duration wait, void** tag, bool* ok) {
  if (expected_ && wait > Duration::zero() && patience_.Try()) {
    auto began = Now();
    auto end = began + std::min(wait, kLookFor);
    auto now = began;
    while (now < end) {
      auto status = queue_->AsyncNext(tag, ok, FromNow(Duration::zero()));
      if (status != grpc::CompletionQueue::TIMEOUT) {
        patience_.Found(true);
        return status == grpc::CompletionQueue::GOT_EVENT;
      }
      sched_yield();
      now = Now();
    }
    patience_.Found(false);
    wait -= now - began;
  }
  return queue_->AsyncNext(tag, ok, FromNow(wait)) == grpc::CompletionQueue::GOT_EVENT;
}

void CqLoop::Proceed(void* tag, bool ok) {
  if (tag != static_cast<CqTag*>(&wakeup_)) return static_cast<CqTag*>(tag)->Proceed(ok);
  MutexLock lock(&mutex_);
  waking_ = false;
}

void CqLoop::Run() {
  thread_ = std::this_thread::get_id();
  auto woken = Now();
  while (!stopped_) {
    RunDueTimers();
    RunPosted();
    auto now = Now();
    if (now - woken > kLate) ++late_turns_;
    // With work left only look at what has arrived; else sleep until the next timer.
    Duration wait = std::chrono::seconds(1);
    if (!timers_.empty()) wait = std::min(wait, timers_.begin()->first.first - now);
    if (!local_.empty()) wait = Duration::zero();
    void* tag = nullptr;
    bool ok = false;
    bool event = Next(wait, &tag, &ok);
    woken = Now();
    for (int i = 0; event && i < kEventsPerTurn && Now() - woken < kEventsFor; ++i) {
      Proceed(tag, ok);
      event = Next(Duration::zero(), &tag, &ok);
    }
    if (event) Proceed(tag, ok);
  }
}

void CqLoop::Drain(Duration quiet) {
  thread_ = std::this_thread::get_id();
  void* tag = nullptr;
  bool ok = false;
  // Operations that end now may start others (a stream is finished after its last read failed),
  // which a queue that is shut down does not allow: first until nothing more comes.
  while (queue_->AsyncNext(&tag, &ok, FromNow(quiet)) == grpc::CompletionQueue::GOT_EVENT) {
    if (tag != static_cast<CqTag*>(&wakeup_)) static_cast<CqTag*>(tag)->Proceed(ok);
  }
  // Another thread may have posted last, and not have come to set the alarm.
  while (setting_ != 0) std::this_thread::yield();
  queue_->Shutdown();
  while (queue_->Next(&tag, &ok)) {
    if (tag == static_cast<CqTag*>(&wakeup_)) continue;
    static_cast<CqTag*>(tag)->Proceed(ok);
  }
  // What a task owns may cancel timers of its own while it goes.
  auto timers = std::move(timers_);
  timers_.clear();
  timers.clear();
  local_.clear();
  MutexLock lock(&mutex_);
  posted_.clear();
}

}  // namespace kvd
