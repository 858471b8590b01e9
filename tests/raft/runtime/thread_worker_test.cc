// The worker thread: jobs in turn, in slices, and a Stop that waits for the slice under way only.
#include "raft/runtime/thread_worker.h"

#include <atomic>
#include <condition_variable>

#include "gtest/gtest.h"

namespace kvd {
namespace {

struct Counts {
  std::mutex mutex;
  std::condition_variable changed;
  std::string log;  // guarded by mutex

  void Add(char c) {
    std::lock_guard<std::mutex> lock(mutex);
    log += c;
    changed.notify_all();
  }
  bool Await(size_t size) {
    std::unique_lock<std::mutex> lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return log.size() >= size; });
  }
};

class Letters : public Job {
 public:
  Letters(Counts* counts, char letter, int slices)
      : counts_(counts), letter_(letter), left_(slices) {}
  ~Letters() override { counts_->Add('.'); }
  bool Step() override {
    counts_->Add(letter_);
    return --left_ != 0;
  }

 private:
  Counts* const counts_;
  const char letter_;
  int left_;
};

TEST(ThreadWorker, RunsJobsInTurn) {
  Counts counts;
  ThreadWorker worker;
  worker.Run(std::make_unique<Letters>(&counts, 'a', 3));
  worker.Run(std::make_unique<Letters>(&counts, 'b', 2));
  ASSERT_TRUE(counts.Await(7));
  worker.Stop();
  EXPECT_EQ(counts.log, "aaa.bb.");
}

TEST(ThreadWorker, StopDropsWhatIsNotDone) {
  Counts counts;
  {
    ThreadWorker worker;
    worker.Run(std::make_unique<Letters>(&counts, 'a', 1 << 30));
    worker.Run(std::make_unique<Letters>(&counts, 'b', 1));
    ASSERT_TRUE(counts.Await(1));
  }
  EXPECT_EQ(counts.log.find('b'), std::string::npos);
  EXPECT_EQ(counts.log.substr(counts.log.size() - 2), "..");
}

}  // namespace
}  // namespace kvd
