// Damage to the log store's files: never a wrong entry, never one less in silence. What can't be
// read is marked as damaged, and hard state and the log's end are known all the same.
#include <rocksdb/db.h>

#include "raft/side_file.h"
#include "tests/raft/log_store_fixture.h"

namespace kvd::raft {
namespace {

class LogDamageTest : public LogStoreTest {
 protected:
  // Three entries in two batches, the last one large.
  void Fill() {
    Create();
    Append({Make(1, 1, "a"), Make(2, 1, std::string(300, 'b'))});
    Append({Make(3, 2, std::string(40'000, 'c'))});
  }
  void Flush() { ASSERT_TRUE(store_->db()->Flush(rocksdb::FlushOptions()).ok()); }
  void Keep() {
    store_.reset();
    std::filesystem::copy(Directory(), kept_.path() + "/raft",
                          std::filesystem::copy_options::recursive);
  }
  void PutBack() {
    store_.reset();
    std::filesystem::remove_all(Directory());
    std::filesystem::remove_all(Directory() + ".damaged");
    std::filesystem::copy(kept_.path() + "/raft", Directory(),
                          std::filesystem::copy_options::recursive);
  }
  // What Fill wrote, or marked as damaged; how many are.
  int CheckWhatFillWrote(const std::string& when) {
    EXPECT_EQ(logs_.size(), 1u) << when;
    if (logs_.size() != 1) return 0;
    const GroupLog& log = logs_[0];
    EXPECT_EQ(log.replica, ReplicaId(3)) << when;
    EXPECT_EQ(log.hard_state.term, Term(1)) << when;
    EXPECT_EQ(log.hard_state.vote, ReplicaId(3)) << when;
    EXPECT_EQ(log.entries.size(), 3u) << when;
    const std::string wanted[] = {"a", std::string(300, 'b'), std::string(40'000, 'c')};
    int damaged = 0;
    for (size_t i = 0; i < log.entries.size(); ++i) {
      EXPECT_EQ(log.entries[i]->index, Index(i + 1)) << when;
      if (log.entries[i]->type == EntryType::kDamaged) {
        ++damaged;
      } else {
        EXPECT_EQ(log.entries[i]->data, wanted[i]) << when;
      }
    }
    for (const Suspect& s : log.suspects)
      EXPECT_EQ(s.entry->data, wanted[s.entry->index.value() - 1]) << when;
    return damaged;
  }

  ScratchDirectory kept_;
};

TEST_F(LogDamageTest, AnAcknowledgedTailThatIsCutOffIsDamagedNotGone) {
  Fill();
  store_.reset();
  std::filesystem::resize_file(NewestLog(), std::filesystem::file_size(NewestLog()) - 1);
  Reopen();
  EXPECT_EQ(CheckWhatFillWrote("cut"), 3);
  EXPECT_EQ(logs_[0].entries[2]->term, Term(2));
  EXPECT_EQ(logs_[0].suspects.size(), 2u);
  EXPECT_NE(store_->opening_report().find("acknowledged"), std::string::npos)
      << store_->opening_report();
  // The same is found again, until somebody repairs it.
  Reopen();
  EXPECT_EQ(CheckWhatFillWrote("again"), 3);
  LogWrite write;
  write.group = kGroup;
  write.repairs = {{Make(3, 2, std::string(40'000, 'c')), Term(1)}};
  Write(std::move(write));
  Reopen();
  EXPECT_EQ(CheckWhatFillWrote("repaired"), 0);
  EXPECT_EQ(store_->opening_report(), "");
}

// Every byte of the newest log, one bit of each flipped in turn.
TEST_F(LogDamageTest, NoFlippedBitInTheWriteAheadLogGoesUnseen) {
  Fill();
  Keep();
  std::string log = NewestLog();
  auto size = std::filesystem::file_size(log);
  ASSERT_GT(size, 40'000u);
  for (size_t at = 0; at < size; at += at < 600 ? 7 : 997) {
    PutBack();
    FlipBit(log, at);
    Reopen();
    CheckWhatFillWrote(absl::StrCat("byte ", at, " of ", size));
    EXPECT_NE(store_->opening_report(), "") << at;
  }
}

TEST_F(LogDamageTest, NoFlippedBitInASortedFileGoesUnseen) {
  Fill();
  Flush();
  Keep();
  std::string table = Newest("", ".sst");
  auto size = std::filesystem::file_size(table);
  int damaged = 0;
  for (size_t at = 0; at<size; at += at + 2000> size ? 41 : 997) {
    PutBack();
    FlipBit(table, at);
    Reopen();
    damaged += CheckWhatFillWrote(absl::StrCat("byte ", at, " of ", size)) > 0 ? 1 : 0;
    Append({Make(4, 2, "d")});
    Flush();
    ASSERT_TRUE(store_->db()->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr).ok())
        << at;
  }
  EXPECT_GT(damaged, 10);
}

// No reader sees what was cut off; a compaction does.
TEST_F(LogDamageTest, DamageThatOnlyACompactionMeetsIsMendedByTheNextStart) {
  Create();
  Append(
      {Make(1, 1, std::string(5'000, 'a')), Make(2, 1, std::string(40'000, 'b')), Make(3, 1, "c")});
  Flush();
  std::string table = Newest("", ".sst");
  LogWrite cut;
  cut.group = kGroup;
  cut.truncate =
      SnapshotMeta{Index(2), Term(1), Configuration{{{ReplicaId(3), StoreId(1)}}, {}, {}}};
  Write(std::move(cut));
  Append({Make(4, 1, "d")});
  Flush();
  store_.reset();
  FlipBit(table, 20'000);
  std::string why;
  auto opened = RocksLogStore::Open(Directory(), [&](const std::string& told) { why = told; });
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->opening_report(), "");
  rocksdb::CompactRangeOptions all;
  all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  EXPECT_FALSE((*opened)->db()->CompactRange(all, nullptr, nullptr).ok());
  EXPECT_NE(why.find("Corruption"), std::string::npos) << why;
  opened->reset();
  Reopen();
  EXPECT_NE(store_->opening_report().find("damaged"), std::string::npos);
  ASSERT_EQ(logs_.size(), 1u);
  ASSERT_EQ(logs_[0].entries.size(), 2u);
  EXPECT_EQ(logs_[0].entries[1]->data, "d");
  EXPECT_TRUE(store_->db()->CompactRange(all, nullptr, nullptr).ok());
  Reopen();
  EXPECT_EQ(store_->opening_report(), "");
}

TEST_F(LogDamageTest, DamagedAndMissingBookkeepingIsMended) {
  Fill();
  Flush();
  Append({Make(4, 2, "d")});
  Keep();
  for (const std::string& name :
       {Newest("CURRENT", ""), Newest("MANIFEST", ""), Newest("OPTIONS", ""),
        Newest("IDENTITY", ""), Newest("SYNCED", ""), NewestLog(), Newest("", ".sst")}) {
    for (int how = 0; how < 3; ++how) {
      PutBack();
      auto size = std::filesystem::file_size(name);
      if (how == 0) std::filesystem::remove(name);
      if (how == 1) std::filesystem::resize_file(name, size / 2);
      if (how == 2) FlipBit(name, size / 3);
      auto opened = RocksLogStore::Open(Directory(), [](const std::string&) {});
      ASSERT_TRUE(opened.ok()) << name << " " << how << ": " << opened.status();
      auto logs = (*opened)->Load();
      ASSERT_TRUE(logs.ok() && logs->size() == 1) << name << " " << how;
      ASSERT_EQ((*logs)[0].entries.size(), 4u) << name << " " << how;
      EXPECT_EQ((*logs)[0].hard_state.vote, ReplicaId(3)) << name << " " << how;
      EXPECT_EQ((*logs)[0].entries[3]->term, Term(2)) << name << " " << how;
    }
  }
}

TEST_F(LogDamageTest, WithoutASideFileADamagedLogIsLost) {
  Fill();
  store_.reset();
  std::filesystem::remove(Directory() + "/SYNCED");
  FlipBit(NewestLog(), 60);
  auto opened = RocksLogStore::Open(Directory(), [](const std::string&) {});
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
}

// The overwriting batch is what is damaged: the older entry at its place can be read and is not it.
TEST_F(LogDamageTest, AnOverwrittenEntryNeverComesBack) {
  Create();
  Append({Make(1, 1, "a"), Make(2, 1, "old"), Make(3, 1, "old")});
  Flush();  // into a file of their own
  Append({Make(2, 2, "new"), Make(3, 2, "new")});
  Append({Make(4, 2, "d")});
  std::string log = NewestLog();
  store_.reset();
  FlipBit(log, 40);
  Reopen();
  ASSERT_EQ(logs_[0].entries.size(), 4u);
  EXPECT_EQ(logs_[0].entries[1]->type, EntryType::kDamaged);
  EXPECT_EQ(logs_[0].entries[2]->type, EntryType::kDamaged);
  for (const Suspect& s : logs_[0].suspects)
    EXPECT_LT(s.entry->term, Term(2)) << s.entry->index.value();
}

TEST_F(LogDamageTest, AReplacementThatWasCompleteTakesItsPlace) {
  Fill();
  store_.reset();
  std::filesystem::rename(Directory(), Directory() + ".rebuilt");
  Reopen();
  EXPECT_EQ(CheckWhatFillWrote("moved"), 0);
  store_.reset();
  std::filesystem::create_directories(Directory() + ".rebuilt/half");
  Reopen();
  EXPECT_EQ(CheckWhatFillWrote("half"), 0);
  EXPECT_FALSE(std::filesystem::exists(Directory() + ".rebuilt"));
}

TEST(SideFile, ATornCellLeavesTheOther) {
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/side";
  GroupRecord record;
  record.replica = ReplicaId(3);
  {
    auto file = SideFile::Open(path);
    ASSERT_TRUE(file.ok());
    for (uint64_t i = 1; i <= 5; ++i) {
      record.version = i;
      for (uint64_t group = 1; group <= i; ++group) (*file)->NoteGroup(GroupId(group), record);
      (*file)->NoteBatch(10 * i);
    }
  }
  for (size_t at : {9, 1024 + 9, 2048 + 9}) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 0x55));
    file.close();
    auto opened = SideFile::Open(path);
    ASSERT_TRUE(opened.ok());
    EXPECT_GE((*opened)->batch().value_or(0), 40u) << at;
    ASSERT_EQ((*opened)->records().size(), at >= 2048 ? 4u : 5u) << at;
    for (const auto& [group, found] : (*opened)->records()) {
      EXPECT_GE(found.version, 4u) << at;
      EXPECT_EQ(found.replica, ReplicaId(3));
    }
  }
}

}  // namespace
}  // namespace kvd::raft
