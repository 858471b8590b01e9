// Background work runs in spare time until it lags or somebody waits. The events are RocksDB's,
// raised here on threads of the test.
#include "raft/spare_time.h"

#include <rocksdb/listener.h>
#include <sched.h>

#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace kvd::raft {
namespace {

class SpareTimeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (listener_ == nullptr) GTEST_SKIP() << "a thread can't come back from SCHED_IDLE here";
  }
  void TearDown() override {
    if (listener_ != nullptr) listener_->OnFlushCompleted(nullptr, flush_);
    if (listener_ != nullptr) listener_->OnCompactionCompleted(nullptr, compaction_);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  }
  void Seal(int count) {
    for (int i = 0; i < count; ++i) listener_->OnMemTableSealed(rocksdb::MemTableInfo());
  }

  const std::shared_ptr<rocksdb::EventListener> listener_ = NewSpareTimeListener();
  const rocksdb::FlushJobInfo flush_{};
  const rocksdb::CompactionJobInfo compaction_{};
};

TEST_F(SpareTimeTest, AFlushWaitsUntilTheNextBufferIsFull) {
  Seal(1);
  listener_->OnFlushBegin(nullptr, flush_);
  EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
  Seal(1);
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  listener_->OnFlushCompleted(nullptr, flush_);
  // The second buffer alone does not lag.
  listener_->OnFlushBegin(nullptr, flush_);
  EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
}

TEST_F(SpareTimeTest, AFlushOfTwoBuffersDoesNotWait) {
  Seal(2);
  listener_->OnFlushBegin(nullptr, flush_);
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
}

TEST_F(SpareTimeTest, ACompactionIsHurriedWhenMuchWasFlushedSinceTheLastOne) {
  Seal(kBuffersMax - 1);
  listener_->OnCompactionBegin(nullptr, compaction_);
  EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
  Seal(1);
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  listener_->OnCompactionCompleted(nullptr, compaction_);
  listener_->OnCompactionBegin(nullptr, compaction_);
  EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
}

TEST_F(SpareTimeTest, NothingWaitsWhileSomebodyIsInAHurry) {
  listener_->OnCompactionBegin(nullptr, compaction_);
  EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
  {
    Hurry hurry;
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    listener_->OnCompactionCompleted(nullptr, compaction_);
    listener_->OnCompactionBegin(nullptr, compaction_);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  }
  listener_->OnCompactionCompleted(nullptr, compaction_);
  listener_->OnCompactionBegin(nullptr, compaction_);
  EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
}

// RocksDB does not tell the end of a job that it gives up.
TEST_F(SpareTimeTest, AJobBehindOneThatWasGivenUpBeginsAnew) {
  listener_->OnFlushBegin(nullptr, flush_);
  Seal(2);
  listener_->OnFlushBegin(nullptr, flush_);
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
}

// RocksDB starts the threads of a pool when it has their first job: from within a flush, perhaps.
TEST_F(SpareTimeTest, AJobOnAThreadThatIsBornWaitingBeginsAnew) {
  listener_->OnFlushBegin(nullptr, flush_);
  std::thread([this] {
    EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
    Seal(kBuffersMax);
    listener_->OnCompactionBegin(nullptr, compaction_);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    listener_->OnCompactionCompleted(nullptr, compaction_);
  }).join();
}

}  // namespace
}  // namespace kvd::raft
