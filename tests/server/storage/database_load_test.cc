// What is known of a database's flushes and compactions without asking it.
#include "raft/database_load.h"

#include <rocksdb/db.h>

#include <chrono>
#include <functional>
#include <thread>

#include "gtest/gtest.h"
#include "server/storage/rocks_engine.h"
#include "tests/scratch_directory.h"

namespace kvd::storage {
namespace {

class DatabaseLoadTest : public testing::Test {
 protected:
  DatabaseLoadTest() {
    RocksEngineOptions options;
    options.write_buffer_bytes = kBufferBytes;
    auto engine = RocksEngine::Open(directory_.path() + "/data", options);
    if (engine.ok()) engine_ = *std::move(engine);
  }
  void SetUp() override { ASSERT_NE(engine_, nullptr); }
  void Put(const std::string& value) {
    auto batch = engine_->NewBatch();
    batch->Put("key", value);
    ASSERT_TRUE(engine_->Write(*batch).ok());
  }
  // The database tells when a job has ended, a moment after whoever waits for it.
  bool Becomes(const std::function<bool()>& what) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!what() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return what();
  }

  static constexpr size_t kBufferBytes = 1 << 20;
  ScratchDirectory directory_;
  std::unique_ptr<RocksEngine> engine_;
};

TEST_F(DatabaseLoadTest, FlushedFilesAreCounted) {
  ASSERT_TRUE(engine_->db()->SetOptions({{"disable_auto_compactions", "true"}}).ok());
  EXPECT_EQ(engine_->load().flushed_files(), 0u);
  for (uint64_t i = 1; i <= 3; ++i) {
    Put("value");
    ASSERT_TRUE(engine_->Flush().ok());
    EXPECT_TRUE(Becomes([&] { return engine_->load().flushed_files() == i; }));
  }
  engine_.reset();
  auto again = RocksEngine::Open(directory_.path() + "/data", {});
  ASSERT_TRUE(again.ok());
  // The options of before are not kept: it may be at work already.
  EXPECT_GT((*again)->load().flushed_files(), 0u);
  ASSERT_TRUE((*again)->CompactAll().ok());
  EXPECT_TRUE(Becomes([&] { return (*again)->load().flushed_files() == 0; }));
}

TEST_F(DatabaseLoadTest, AWriteThatWouldWaitIsToldBefore) {
  std::string value(100'000, 'v');
  auto fill = [&] {
    uint64_t writes = 0;
    for (; !engine_->WouldStall() && writes < 1000; ++writes) Put(value);
    return writes;
  };
  ASSERT_TRUE(engine_->db()->PauseBackgroundWork().ok());
  // Two buffers, and what a staggered size leaves of them; the one in use takes in more.
  uint64_t writes = fill();
  EXPECT_GE(writes * value.size(), kBufferBytes);
  EXPECT_LE(writes * value.size(), 3 * kBufferBytes);
  Put(value);
  EXPECT_TRUE(engine_->WouldStall());
  ASSERT_TRUE(engine_->db()->ContinueBackgroundWork().ok());
  EXPECT_TRUE(Becomes([&] { return !engine_->WouldStall(); }));
  // Again, and as often as one likes: nothing of what was counted is left over.
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(engine_->Flush().ok());
    ASSERT_TRUE(engine_->db()->PauseBackgroundWork().ok());
    EXPECT_FALSE(engine_->WouldStall());
    EXPECT_GE(fill() * value.size(), kBufferBytes);
    ASSERT_TRUE(engine_->db()->ContinueBackgroundWork().ok());
    EXPECT_TRUE(Becomes([&] { return !engine_->WouldStall(); }));
  }
}

}  // namespace
}  // namespace kvd::storage
