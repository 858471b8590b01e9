#include "raft/spare_time.h"

#include <rocksdb/listener.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>

#include "raft/runtime/mutex.h"

namespace kvd::raft {
namespace {

enum Pool { kFlushes, kCompactions };

bool SetPolicy(pid_t thread, int policy) {
  sched_param parameters = {};
  return sched_setscheduler(thread, policy, &parameters) == 0;
}

class BackgroundThreads {
 public:
  // On the thread itself, around a job.
  void Begin(Pool pool, bool lags) {
    MutexLock lock(&mutex_);
    // Whatever the thread's policy is: a job that is given up ends without a word, and a thread
    // begins with the policy of the one that started it.
    waiting_[pool].erase(gettid());
    bool wait = !lags && hurries_ == 0;
    if (SetPolicy(gettid(), wait ? SCHED_IDLE : SCHED_OTHER) && wait)
      waiting_[pool].insert(gettid());
  }
  void End(Pool pool) {
    MutexLock lock(&mutex_);
    if (waiting_[pool].erase(gettid()) != 0) SetPolicy(gettid(), SCHED_OTHER);
  }

  void Raise(Pool pool) {
    MutexLock lock(&mutex_);
    RaiseLocked(pool);
  }
  void AddHurry(int count) {
    MutexLock lock(&mutex_);
    hurries_ += count;
    if (count < 0) return;
    RaiseLocked(kFlushes);
    RaiseLocked(kCompactions);
  }

 private:
  void RaiseLocked(Pool pool) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (pid_t thread : waiting_[pool]) SetPolicy(thread, SCHED_OTHER);
    waiting_[pool].clear();
  }

  Mutex mutex_;
  std::array<std::set<pid_t>, 2> waiting_ ABSL_GUARDED_BY(mutex_);  // that run in spare time
  int hurries_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Never destroyed: RocksDB's threads end after everything else.
BackgroundThreads& Threads() {
  static auto* threads = new BackgroundThreads;
  return *threads;
}

bool CanComeBack() {
  bool can = false;
  std::thread([&] { can = SetPolicy(0, SCHED_IDLE) && SetPolicy(0, SCHED_OTHER); }).join();
  return can;
}

// Of one database.
class SpareTimeListener : public rocksdb::EventListener {
 public:
  void OnMemTableSealed(const rocksdb::MemTableInfo& /*info*/) override {
    MutexLock lock(&mutex_);
    ++unflushed_;
    ++since_compaction_;
    if (FlushLags()) Threads().Raise(kFlushes);
    if (CompactionLags()) Threads().Raise(kCompactions);
  }

  void OnFlushBegin(rocksdb::DB* /*db*/, const rocksdb::FlushJobInfo& /*info*/) override {
    MutexLock lock(&mutex_);
    Threads().Begin(kFlushes, FlushLags());
    // It takes along all that are full by now.
    in_flush_ = unflushed_;
  }
  void OnFlushCompleted(rocksdb::DB* /*db*/, const rocksdb::FlushJobInfo& /*info*/) override {
    MutexLock lock(&mutex_);
    Threads().End(kFlushes);
    unflushed_ = std::max(unflushed_ - in_flush_, 0);
    in_flush_ = 0;
  }

  void OnCompactionBegin(rocksdb::DB* /*db*/, const rocksdb::CompactionJobInfo& /*info*/) override {
    MutexLock lock(&mutex_);
    Threads().Begin(kCompactions, CompactionLags());
  }
  void OnCompactionCompleted(rocksdb::DB* /*db*/,
                             const rocksdb::CompactionJobInfo& /*info*/) override {
    MutexLock lock(&mutex_);
    Threads().End(kCompactions);
    since_compaction_ = 0;
  }

 private:
  bool FlushLags() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return unflushed_ > 1; }
  bool CompactionLags() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return since_compaction_ >= kBuffersMax;
  }

  Mutex mutex_;
  // Buffers that are full: not flushed yet, of these in the flush under way, and since a compaction
  // ended.
  int unflushed_ ABSL_GUARDED_BY(mutex_) = 0;
  int in_flush_ ABSL_GUARDED_BY(mutex_) = 0;
  int since_compaction_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> NewSpareTimeListener() {
  static const bool can_come_back = CanComeBack();
  if (!can_come_back) return nullptr;
  return std::make_shared<SpareTimeListener>();
}

Hurry::Hurry() { Threads().AddHurry(1); }
Hurry::~Hurry() { Threads().AddHurry(-1); }

}  // namespace kvd::raft
