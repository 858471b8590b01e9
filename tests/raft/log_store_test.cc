// The RocksDB log store: what is written is there after a restart, in the form it was left in.
#include <rocksdb/db.h>

#include <future>
#include <thread>

#include "tests/raft/log_store_fixture.h"

namespace kvd::raft {
namespace {

TEST_F(LogStoreTest, StateAndEntriesSurviveARestart) {
  Create();
  Append({Make(1, 1, "a"), Make(2, 1, std::string(100'000, 'b'))});
  Reopen();
  ASSERT_EQ(logs_.size(), 1u);
  EXPECT_EQ(logs_[0].group, kGroup);
  EXPECT_EQ(logs_[0].replica, ReplicaId(3));
  EXPECT_EQ(logs_[0].hard_state.vote, ReplicaId(3));
  EXPECT_TRUE(logs_[0].start.configuration.IsVoter(ReplicaId(3)));
  ASSERT_EQ(logs_[0].entries.size(), 2u);
  EXPECT_EQ(logs_[0].entries[1]->data.size(), 100'000u);
}

std::vector<LogWrite> OneEntry(EntryPtr entry, Term previous) {
  std::vector<LogWrite> writes(1);
  writes[0].group = kGroup;
  writes[0].previous = previous;
  writes[0].entries.push_back(std::move(entry));
  return writes;
}

TEST_F(LogStoreTest, WrittenNowIsDurableOnReturn) {
  Create();
  ASSERT_TRUE(store_->TryWriteNow(OneEntry(Make(1, 1, "now"), Term())));
  auto read = store_->Read(kGroup, Index(1), Index(2), 0);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0]->term, Term(1));
  EXPECT_EQ(store_->stats().syncs, 2u);
  Reopen();
  ASSERT_EQ(logs_[0].entries.size(), 1u);
  EXPECT_EQ(logs_[0].entries[0]->data, "now");
}

TEST_F(LogStoreTest, NothingIsWrittenNowBeforeWhatWaits) {
  Create();
  std::promise<void> held;
  std::promise<void> written;
  std::shared_future<void> go_on = held.get_future().share();
  // The completion runs on the thread that writes: meanwhile the next write waits.
  store_->Write(&loop_, OneEntry(Make(1, 1), Term()), [go_on] { go_on.wait(); });
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (store_->stats().syncs < 2 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  store_->Write(&loop_, OneEntry(Make(2, 1), Term(1)), [&] { written.set_value(); });
  EXPECT_FALSE(store_->TryWriteNow(OneEntry(Make(3, 1), Term(1))));
  held.set_value();
  ASSERT_EQ(written.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_TRUE(store_->TryWriteNow(OneEntry(Make(3, 1), Term(1))));
  Reopen();
  EXPECT_EQ(logs_[0].entries.size(), 3u);
}

TEST_F(LogStoreTest, NothingIsWrittenNowThatTakesLong) {
  Create();
  EXPECT_FALSE(store_->TryWriteNow(OneEntry(Make(1, 1, std::string(1 << 20, 'x')), Term())));
  // Nor while buffers wait to be flushed: the write would.
  ASSERT_TRUE(store_->db()->PauseBackgroundWork().ok());
  std::string value(200'000, 'x');
  uint64_t written = 0;
  for (; written * value.size() <= 2 * kLogBufferBytes; ++written)
    Append({Make(written + 1, 1, value)});
  EXPECT_FALSE(store_->TryWriteNow(OneEntry(Make(written + 1, 1, value), Term(1))));
  ASSERT_TRUE(store_->db()->ContinueBackgroundWork().ok());
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  bool again = false;
  while (!again && std::chrono::steady_clock::now() < deadline)
    again = store_->TryWriteNow(OneEntry(Make(written + 1, 1, value), Term(1)));
  EXPECT_TRUE(again);
  Reopen();
  EXPECT_EQ(logs_[0].entries.size(), written + 1);
}

TEST_F(LogStoreTest, ConflictingSuffixIsReplaced) {
  Create();
  Append({Make(1, 1), Make(2, 1), Make(3, 1), Make(4, 1)});
  Append({Make(2, 2, "new")});
  Reopen();
  ASSERT_EQ(logs_[0].entries.size(), 2u);
  EXPECT_EQ(logs_[0].entries[1]->term, Term(2));
  EXPECT_TRUE(store_->Read(kGroup, Index(3), Index(4), 0).empty());
}

TEST_F(LogStoreTest, TruncationKeepsTheTail) {
  Create();
  Append({Make(1, 1), Make(2, 1), Make(3, 2)});
  LogWrite write;
  write.group = kGroup;
  write.truncate = SnapshotMeta{Index(2), Term(1), Configuration()};
  Write(std::move(write));
  Reopen();
  EXPECT_EQ(logs_[0].start.index, Index(2));
  ASSERT_EQ(logs_[0].entries.size(), 1u);
  EXPECT_EQ(logs_[0].entries[0]->index, Index(3));
  EXPECT_EQ(logs_[0].replica, ReplicaId(3));
}

TEST_F(LogStoreTest, ResetStartsBehindASnapshot) {
  Create();
  Append({Make(1, 1), Make(2, 1)});
  LogWrite write;
  write.group = kGroup;
  write.replica = ReplicaId(3);
  write.reset = SnapshotMeta{Index(50), Term(4), Configuration()};
  Write(std::move(write));
  terms_[Index(50)] = Term(4);
  Append({Make(51, 5)});
  Reopen();
  EXPECT_EQ(logs_[0].start.index, Index(50));
  ASSERT_EQ(logs_[0].entries.size(), 1u);
  EXPECT_EQ(logs_[0].entries[0]->index, Index(51));
}

TEST_F(LogStoreTest, TombstoneIsDurable) {
  Create();
  LogWrite write;
  write.group = kGroup;
  write.removed = true;
  Write(std::move(write));
  Reopen();
  EXPECT_TRUE(logs_[0].removed);
}

TEST_F(LogStoreTest, ReadsWithinALimit) {
  Create();
  Append({Make(1, 1, std::string(1000, 'a')), Make(2, 1, std::string(1000, 'b')), Make(3, 1)});
  EXPECT_EQ(store_->Read(kGroup, Index(1), Index(4), 1 << 20).size(), 3u);
  EXPECT_EQ(store_->Read(kGroup, Index(1), Index(4), 1500).size(), 1u);
  EXPECT_EQ(store_->Read(kGroup, Index(1), Index(3), 1 << 20).size(), 2u);
  EXPECT_TRUE(store_->Read(kGroup, Index(4), Index(9), 1 << 20).empty());
}

// What a crash in the middle of a write leaves: half a batch, garbage, or blocks that were
// allocated and never written.
TEST_F(LogStoreTest, ATornTailIsCutAndReported) {
  Create();
  Append({Make(1, 1), Make(2, 1)});
  for (const std::string& tail : {std::string(5000, '\0'), std::string(70'000, '\0'),
                                  std::string(300, '\xa5'), std::string("\x10")}) {
    store_.reset();
    std::ofstream(NewestLog(), std::ios::binary | std::ios::app) << tail;
    Reopen();
    // Zeroes are room that was allocated ahead: nothing to report.
    std::string report = tail[0] == '\0' ? "" : absl::StrCat("cut ", tail.size(), " bytes");
    EXPECT_EQ(store_->opening_report().substr(0, report.size()), report)
        << store_->opening_report();
    EXPECT_EQ(store_->opening_report().empty(), report.empty());
    ASSERT_EQ(logs_[0].entries.size(), 2u);
    Append({Make(3, 1)});
    Append({Make(3, 2)});
    Reopen();
    EXPECT_EQ(store_->opening_report(), "");
    ASSERT_EQ(logs_[0].entries.size(), 3u);
    Append({Make(2, 3)});
  }
}

// Batches end, begin and are split at every distance from a block's end.
TEST_F(LogStoreTest, BatchesAcrossBlocksAreReadWhole) {
  Create();
  for (uint64_t i = 1; i <= 120; ++i) {
    Append({Make(i, 1, std::string(32 * 1024 - 60 + i / 2, 'x'))});
  }
  Reopen();
  EXPECT_EQ(store_->opening_report(), "");
  ASSERT_EQ(logs_[0].entries.size(), 120u);
}

}  // namespace
}  // namespace kvd::raft
