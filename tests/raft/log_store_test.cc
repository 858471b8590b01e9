// The RocksDB log store: what is written is there after a restart, in the form it was left in.
#include "raft/rocks_log_store.h"

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "raft/sync_mark.h"
#include "tests/scratch_directory.h"

namespace kvd::raft {
namespace {

constexpr GroupId kGroup{7};

// Runs what is posted at once, on whatever thread.
class InlineLoop : public Loop {
 public:
  MonotonicTime Now() const override { return {}; }
  std::unique_ptr<Timer> After(Duration, Task) override { return nullptr; }
  uint64_t WallMillis() const override { return 0; }
  void Post(Task task) override { task(); }
  Random& random() override { return random_; }

 private:
  Random random_{1};
};

class LogStoreTest : public testing::Test {
 protected:
  LogStoreTest() { Reopen(); }

  void Reopen() {
    store_.reset();
    auto opened = RocksLogStore::Open(directory_.path() + "/raft", [](const std::string& why) {
      FAIL() << why;
    });
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    auto loaded = store_->Load();
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    logs_ = *std::move(loaded);
  }

  void Write(LogWrite write) {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    std::vector<LogWrite> writes;
    writes.push_back(std::move(write));
    store_->Write(&loop_, std::move(writes), [&] {
      std::lock_guard<std::mutex> lock(mutex);
      done = true;
      changed.notify_one();
    });
    std::unique_lock<std::mutex> lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return done; }));
  }

  static EntryPtr Make(uint64_t index, uint64_t term, std::string data = "x") {
    auto entry = std::make_shared<Entry>();
    entry->index = Index(index);
    entry->term = Term(term);
    entry->type = EntryType::kCommand;
    entry->data = std::move(data);
    return entry;
  }

  void Create() {
    LogWrite write;
    write.group = kGroup;
    write.replica = ReplicaId(3);
    write.reset = SnapshotMeta{Index(), Term(), Configuration{{{ReplicaId(3), StoreId(1)}}, {}, {}}};
    write.hard_state = HardState{Term(1), ReplicaId(3), Index()};
    Write(std::move(write));
  }

  std::string NewestLog() const {
    std::string newest;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path() + "/raft")) {
      if (entry.path().extension() == ".log") newest = std::max(newest, entry.path().string());
    }
    return newest;
  }

  static void FlipBit(const std::string& path, size_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 0x10));
  }

  void Append(std::vector<EntryPtr> entries) {
    LogWrite write;
    write.group = kGroup;
    write.entries = std::move(entries);
    Write(std::move(write));
  }

  ScratchDirectory directory_;
  InlineLoop loop_;
  std::unique_ptr<RocksLogStore> store_;
  std::vector<GroupLog> logs_;
};

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

TEST_F(LogStoreTest, ConflictingSuffixIsReplaced) {
  Create();
  Append({Make(1, 1), Make(2, 1), Make(3, 1), Make(4, 1)});
  Append({Make(2, 2, "new")});
  Reopen();
  ASSERT_EQ(logs_[0].entries.size(), 2u);
  EXPECT_EQ(logs_[0].entries[1]->term, Term(2));
  EXPECT_EQ(store_->TermAt(kGroup, Index(2)), Term(2));
  EXPECT_EQ(store_->TermAt(kGroup, Index(3)), std::nullopt);
}

TEST_F(LogStoreTest, TruncationKeepsTheTail) {
  Create();
  Append({Make(1, 1), Make(2, 1), Make(3, 2)});
  LogWrite write;
  write.group = kGroup;
  write.truncate = SnapshotMeta{Index(2), Term(1), logs_.empty() ? Configuration() : Configuration()};
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

TEST_F(LogStoreTest, ALogThatLostSyncedEntriesIsRefused) {
  Create();
  Append({Make(1, 1)});
  store_.reset();
  auto mark = SyncMark::Open(directory_.path() + "/raft/SYNCED");
  ASSERT_TRUE(mark.ok());
  EXPECT_GT((*mark)->value(), 0u);
  (*mark)->Note((*mark)->value() + 10);
  mark->reset();
  auto opened = RocksLogStore::Open(directory_.path() + "/raft", [](const std::string&) {});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
}

// What a crash in the middle of a write leaves: half a batch, garbage, or blocks that were allocated
// and never written.
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
    EXPECT_EQ(store_->opening_report().substr(0, report.size()), report) << store_->opening_report();
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

TEST_F(LogStoreTest, ALogCutShortIsRefused) {
  Create();
  Append({Make(1, 1), Make(2, 1)});
  store_.reset();
  std::string log = NewestLog();
  std::filesystem::resize_file(log, std::filesystem::file_size(log) - 1);
  auto opened = RocksLogStore::Open(directory_.path() + "/raft", [](const std::string&) {});
  ASSERT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
  EXPECT_NE(opened.status().message().find("acknowledged"), absl::string_view::npos);
}

// Every byte of what was acknowledged, one bit of each flipped in turn: never silently less or else.
TEST_F(LogStoreTest, NoFlippedBitGoesUnseen) {
  Create();
  Append({Make(1, 1, "a"), Make(2, 1, std::string(300, 'b'))});
  Append({Make(3, 2, std::string(40'000, 'c'))});
  store_.reset();
  std::string log = NewestLog();
  auto size = std::filesystem::file_size(log);
  ASSERT_GT(size, 40'000u);
  ScratchDirectory kept;
  std::filesystem::copy(directory_.path(), kept.path() + "/all", std::filesystem::copy_options::recursive);
  for (size_t at = 0; at < size; at += at < 600 ? 7 : 997) {
    std::filesystem::remove_all(directory_.path() + "/raft");
    std::filesystem::copy(kept.path() + "/all/raft", directory_.path() + "/raft",
                          std::filesystem::copy_options::recursive);
    FlipBit(log, at);
    auto opened = RocksLogStore::Open(directory_.path() + "/raft", [](const std::string&) {});
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss)
        << "byte " << at << " of " << size << ": " << opened.status();
  }
}

TEST_F(LogStoreTest, ATornMarkLeavesTheOther) {
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/mark";
  {
    auto mark = SyncMark::Open(path);
    ASSERT_TRUE(mark.ok());
    (*mark)->Note(5);
    (*mark)->Note(6);
  }
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(3);
  file.put('\x55');
  file.close();
  auto mark = SyncMark::Open(path);
  ASSERT_TRUE(mark.ok());
  EXPECT_EQ((*mark)->value(), 5u);
}

}  // namespace
}  // namespace kvd::raft
