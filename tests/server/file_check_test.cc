// What the check of a store's files finds: a flipped bit in a sorted file of either database, and
// in the log's own file.
#include "server/file_check.h"

#include <rocksdb/db.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/scratch_directory.h"

namespace kvd::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FileCheckTest : public testing::Test {
 protected:
  FileCheckTest() {
    log_ = *raft::RocksLogStore::Open(directory_.path() + "/raft",
                                      [](const std::string&) { std::abort(); });
    EXPECT_TRUE(log_->Load().ok());
    storage::RocksEngineOptions options;
    engine_ = *storage::RocksEngine::Open(directory_.path() + "/data", options);
    raft::LogWrite create;
    create.group = GroupId(1);
    create.replica = ReplicaId(1);
    create.reset = raft::SnapshotMeta();
    Append(std::move(create), 1);
    auto batch = engine_->NewBatch();
    for (int i = 0; i < 1000; ++i) batch->Put(absl::StrCat("key", i), std::string(50, 'v'));
    EXPECT_TRUE(engine_->Write(*batch).ok());
    EXPECT_TRUE(engine_->Flush().ok());
  }

  void Append(raft::LogWrite write, uint64_t first) {
    write.group = GroupId(1);
    for (uint64_t i = first; i < first + 500; ++i) {
      auto entry = std::make_shared<raft::Entry>();
      entry->index = Index(i);
      entry->term = Term(1);
      entry->data = std::string(100, static_cast<char>('a' + i % 26));
      write.entries.push_back(std::move(entry));
    }
    std::vector<raft::LogWrite> writes;
    writes.push_back(std::move(write));
    log_->WriteNow(writes);
  }

  shard::StorageTotals Check() {
    FileCheck check(log_.get(), engine_.get());
    shard::StorageTotals totals;
    int slices = 0;
    while (check.Step(&totals) && ++slices < 1000) {
    }
    EXPECT_LT(slices, 1000);
    return totals;
  }

  // Of the one file with this ending there.
  void FlipBit(const std::string& folder, const std::string& ending, double where) {
    for (const auto& file : std::filesystem::directory_iterator(directory_.path() + "/" + folder)) {
      if (!absl::EndsWith(file.path().string(), ending) || file.file_size() == 0) continue;
      std::fstream io(file.path(), std::ios::binary | std::ios::in | std::ios::out);
      auto at = static_cast<std::streamoff>(static_cast<double>(file.file_size()) * where);
      io.seekg(at);
      char byte = static_cast<char>(io.get() ^ 1);
      io.seekp(at);
      io.put(byte);
      return;
    }
    FAIL() << "no such file";
  }

  ScratchDirectory directory_;
  std::unique_ptr<raft::RocksLogStore> log_;
  std::unique_ptr<storage::RocksEngine> engine_;
};

TEST_F(FileCheckTest, FindsNothingWhereNothingIs) {
  Append({}, 501);
  ASSERT_TRUE(log_->db()->Flush({}).ok());
  Append({}, 1001);
  auto totals = Check();
  EXPECT_EQ(totals.damaged, 0u) << totals.damage[0];
  EXPECT_GT(totals.bytes, 150'000u);
}

// Data, index and properties: wherever it lies, and though the engine has it in its cache.
TEST_F(FileCheckTest, ASortedFileOfTheState) {
  ASSERT_TRUE(engine_->Get("key77").ok());
  for (double where : {0.1, 0.3, 0.5, 0.7, 0.9}) {
    FlipBit("data", ".sst", where);
    EXPECT_THAT(Check().damage, ElementsAre(HasSubstr("data/0"))) << where;
    FlipBit("data", ".sst", where);
    EXPECT_EQ(Check().damaged, 0u) << where;
  }
}

TEST_F(FileCheckTest, ASortedFileOfTheLog) {
  ASSERT_TRUE(log_->db()->Flush({}).ok());
  FlipBit("raft", ".sst", 0.3);
  auto totals = Check();
  EXPECT_EQ(totals.damaged, 2u) << "once as entries, once as a file";
  EXPECT_THAT(totals.damage[1], HasSubstr("raft/0"));
}

TEST_F(FileCheckTest, ALogFileOfTheLog) {
  Append({}, 501);
  // Allocated ahead: what is written is at its beginning.
  FlipBit("raft", ".log", 0.001);
  EXPECT_THAT(Check().damage, ElementsAre(HasSubstr("raft/*.log: the batch behind number")));
}

}  // namespace
}  // namespace kvd::server
