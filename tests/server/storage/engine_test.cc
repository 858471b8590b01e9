// Both engines do the same: the simulator's results hold for the real one only because of this.

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/storage/memory_engine.h"
#include "server/storage/middle.h"
#include "server/storage/mvcc_key.h"
#include "server/storage/rocks_engine.h"
#include "server/storage/version.h"
#include "tests/scratch_directory.h"

namespace kvd::storage {
namespace {

// So that a test's state takes many files.
constexpr size_t kFileBytes = 16 << 10;

// Not to be compressed.
std::string Noise(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string out;
  while (out.size() < 100) out += static_cast<char>(random());
  return out;
}

std::string NumberedKey(int i) { return absl::StrCat("g", absl::Dec(i, absl::kZeroPad5)); }

// A hundred files, or so.
constexpr int kManyPairs = 15'000;
void StageMany(Staging& staging, std::string* all) {
  for (int i = 0; i < kManyPairs; ++i) {
    std::string value = Noise(static_cast<uint64_t>(i));
    ASSERT_TRUE(staging.Put(NumberedKey(i), value).ok());
    if (all != nullptr) *all += NumberedKey(i) + "=" + value + " ";
  }
}

class EngineTest : public testing::TestWithParam<bool> {
 protected:
  EngineTest() { Open(); }

  void Open() {
    if (!GetParam()) {
      if (!engine_) engine_ = std::make_unique<MemoryEngine>();
      return;
    }
    engine_.reset();
    RocksEngineOptions options;
    options.safe_point = [this](const Engine&, GroupId) { return safe_point_; };
    options.file_bytes = kFileBytes;
    auto opened = RocksEngine::Open(directory_.path() + "/data", options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    engine_ = *std::move(opened);
  }

  void Put(const std::string& key, const std::string& value) {
    auto batch = engine_->NewBatch();
    batch->Put(key, value);
    ASSERT_TRUE(engine_->Write(*batch).ok());
  }

  std::string All(const View& view, std::string lower = "", std::string upper = "") {
    IterateOptions options;
    options.lower = std::move(lower);
    options.upper = std::move(upper);
    std::string out;
    auto it = view.NewIterator(options);
    for (it->Seek(options.lower); it->Valid(); it->Next()) {
      out += std::string(it->key()) + "=" + std::string(it->value()) + " ";
    }
    EXPECT_TRUE(it->status().ok());
    return out;
  }

  ScratchDirectory directory_;
  std::unique_ptr<Engine> engine_;
  Timestamp safe_point_;
};

TEST_P(EngineTest, WritesAreSeenInOrder) {
  Put("b", "2");
  Put("a", "1");
  Put("c", "3");
  EXPECT_EQ(All(*engine_), "a=1 b=2 c=3 ");
  EXPECT_EQ(All(*engine_, "b"), "b=2 c=3 ");
  EXPECT_EQ(All(*engine_, "a", "c"), "a=1 b=2 ");
  auto batch = engine_->NewBatch();
  batch->DeleteRange("a", "c");
  batch->Put("d", "4");
  ASSERT_TRUE(engine_->Write(*batch).ok());
  EXPECT_EQ(All(*engine_), "c=3 d=4 ");
  EXPECT_EQ(**engine_->Get("d"), "4");
  EXPECT_FALSE(engine_->Get("a")->has_value());
}

TEST_P(EngineTest, SeeksBackwards) {
  for (const char* key : {"a", "c", "e"}) Put(key, key);
  IterateOptions options;
  options.lower = "a";
  options.upper = "e";
  auto it = engine_->NewIterator(options);
  it->SeekForPrev("z");
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->key(), "c");
  it->SeekForPrev("b");
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->key(), "a");
  it->Prev();
  EXPECT_FALSE(it->Valid());
}

// Of a whole, and of a half.
TEST_P(EngineTest, TheMiddleHalvesBytes) {
  auto staging = engine_->NewStaging("g", "h");
  ASSERT_TRUE(staging.ok()) << staging.status();
  ASSERT_NO_FATAL_FAILURE(StageMany(**staging, nullptr));
  ASSERT_TRUE(engine_->Ingest(*std::move(staging)).ok());
  uint64_t all = engine_->ApproximateBytes("g", "h");
  EXPECT_GT(all, uint64_t{kManyPairs} * 90);
  EXPECT_LT(all, uint64_t{kManyPairs} * 200);
  auto middle = MiddleKey(*engine_, "g", "h");
  ASSERT_TRUE(middle.ok()) << middle.status();
  EXPECT_GT(*middle, NumberedKey(kManyPairs * 4 / 10));
  EXPECT_LT(*middle, NumberedKey(kManyPairs * 6 / 10));
  EXPECT_TRUE(engine_->Get(*middle)->has_value()) << "it is a key that exists";
  auto upper = MiddleKey(*engine_, *middle, "h");
  ASSERT_TRUE(upper.ok()) << upper.status();
  EXPECT_GT(*upper, NumberedKey(kManyPairs * 65 / 100));
  EXPECT_LT(*upper, NumberedKey(kManyPairs * 85 / 100));
}

// What is in no file yet counts as well.
TEST_P(EngineTest, BytesOfARangeCountWhatWasJustWritten) {
  std::mt19937 random(1);
  std::vector<int> keys(2'000);
  std::iota(keys.begin(), keys.end(), 0);
  std::shuffle(keys.begin(), keys.end(), random);
  for (int i : keys) Put(NumberedKey(i), Noise(static_cast<uint64_t>(i)));
  auto bytes = [&](int from, int to) {
    return static_cast<double>(engine_->ApproximateBytes(NumberedKey(from), NumberedKey(to)));
  };
  double all = bytes(0, 2'000);
  EXPECT_NEAR(all, 2'000 * 110, 2'000 * 50);
  EXPECT_NEAR(bytes(0, 1'000), all / 2, all / 8);
  EXPECT_NEAR(bytes(500, 600), all / 20, all / 30);
  EXPECT_EQ(bytes(2'000, 3'000), 0);
}

TEST_P(EngineTest, WhatCannotBeHalvedHasNoMiddle) {
  EXPECT_EQ(*MiddleKey(*engine_, "a", "z"), "");
  Put("b", std::string(100'000, 'x'));
  EXPECT_EQ(*MiddleKey(*engine_, "a", "z"), "");
}

TEST_P(EngineTest, SnapshotsStandStill) {
  Put("a", "1");
  auto snapshot = engine_->Snapshot();
  Put("a", "2");
  Put("b", "2");
  EXPECT_EQ(All(*snapshot), "a=1 ");
  EXPECT_EQ(All(*engine_), "a=2 b=2 ");
}

TEST_P(EngineTest, OnlyWhatIsFlushedIsPersisted) {
  Put("a", "1");
  EXPECT_FALSE(engine_->GetPersisted("a")->has_value());
  ASSERT_TRUE(engine_->Flush().ok());
  EXPECT_EQ(**engine_->GetPersisted("a"), "1");
  Put("a", "2");
  EXPECT_EQ(**engine_->GetPersisted("a"), "1");
}

TEST_P(EngineTest, IngestReplacesARangeDurably) {
  Put("a", "old");
  Put("g1", "old");
  ASSERT_TRUE(engine_->Flush().ok());
  Put("g2", "old");
  Put("z", "old");
  auto staging = engine_->NewStaging("g", "h");
  ASSERT_TRUE(staging.ok());
  ASSERT_TRUE((*staging)->Put("g0", "new").ok());
  ASSERT_TRUE((*staging)->Put("g2", "new").ok());
  EXPECT_FALSE((*staging)->Put("g1", "out of order").ok());
  ASSERT_TRUE(engine_->Ingest(*std::move(staging)).ok());
  EXPECT_EQ(All(*engine_), "a=old g0=new g2=new z=old ");
  EXPECT_EQ(**engine_->GetPersisted("g2"), "new");
  Put("g2", "newer");
  EXPECT_EQ(All(*engine_), "a=old g0=new g2=newer z=old ");
  // And again over itself.
  staging = engine_->NewStaging("g", "h");
  ASSERT_TRUE((*staging)->Put("g5", "third").ok());
  ASSERT_TRUE(engine_->Ingest(*std::move(staging)).ok());
  EXPECT_EQ(All(*engine_), "a=old g5=third z=old ");
  Open();
  if (GetParam()) {
    EXPECT_EQ(All(*engine_, "g", "h"), "g5=third ");
  }
}

TEST_P(EngineTest, IngestOfNothingEmptiesTheRange) {
  Put("f", "old");
  Put("g", "old");
  ASSERT_TRUE(engine_->Flush().ok());
  Put("g9", "old");
  Put("h", "old");
  auto staging = engine_->NewStaging("g", "h");
  ASSERT_TRUE(staging.ok());
  ASSERT_TRUE(engine_->Ingest(*std::move(staging)).ok());
  EXPECT_EQ(All(*engine_), "f=old h=old ");
  Open();
  EXPECT_EQ(All(*engine_, "g", "h"), "");
}

// Wherever the staged files end: what lies between, before and behind the new keys is hidden too.
TEST_P(EngineTest, IngestHidesWhatLiesBetweenItsPairs) {
  Put("f", "kept");
  Put("g", "old");
  for (int i = 0; i < kManyPairs; ++i) {
    Put(NumberedKey(i), "old");
    Put(NumberedKey(i) + '\0', "old");
    Put(NumberedKey(i) + '\0' + '\0', "old");
    if (i % 2000 == 0) {
      ASSERT_TRUE(engine_->Flush().ok());
    }
  }
  Put("g~", "old");
  Put("h", "kept");
  std::string all;
  auto staging = engine_->NewStaging("g", "h");
  ASSERT_TRUE(staging.ok());
  StageMany(**staging, &all);
  ASSERT_TRUE(engine_->Ingest(*std::move(staging)).ok());
  EXPECT_TRUE(All(*engine_) == "f=kept " + all + "h=kept ");
  EXPECT_FALSE(engine_->Get("g~")->has_value());
  Open();
  EXPECT_TRUE(All(*engine_, "g", "h") == all);
}

// The file before cannot end between two keys that have nothing between them.
TEST_P(EngineTest, StagedKeysMayBeNeighbours) {
  std::string key = "g";
  std::string all;
  auto staging = engine_->NewStaging("g", "h");
  ASSERT_TRUE(staging.ok());
  for (int i = 0; i < 600; ++i) {
    std::string value = Noise(static_cast<uint64_t>(i));
    ASSERT_TRUE((*staging)->Put(key, value).ok());
    absl::StrAppend(&all, key, "=", value, " ");
    key.push_back('\0');
  }
  ASSERT_TRUE(engine_->Ingest(*std::move(staging)).ok());
  EXPECT_TRUE(All(*engine_) == all);
}

TEST_P(EngineTest, WhatIsNotIngestedLeavesNothing) {
  Put("g1", "old");
  ASSERT_TRUE(engine_->Flush().ok());
  auto staging = engine_->NewStaging("g", "h");
  ASSERT_TRUE(staging.ok());
  StageMany(**staging, nullptr);
  EXPECT_EQ(All(*engine_), "g1=old ");
  staging->reset();
  Open();
  EXPECT_EQ(All(*engine_), "g1=old ");
  if (GetParam()) {
    EXPECT_TRUE(std::filesystem::is_empty(directory_.path() + "/data/staged"));
  }
}

TEST_P(EngineTest, PrefixReadsFindVersions) {
  GroupId group(1);
  for (uint64_t i = 0; i < 500; ++i) {
    Put(VersionKey(group, "key" + std::to_string(i), Timestamp(10)), "v");
    Put(VersionKey(group, "key" + std::to_string(i), Timestamp(20)), "w");
  }
  ASSERT_TRUE(engine_->Flush().ok());
  IterateOptions options;
  options.lower = VersionsPrefix(group, "key77");
  options.upper = PrefixEnd(options.lower);
  options.one_prefix = true;
  auto it = engine_->NewIterator(options);
  it->Seek(VersionKey(group, "key77", Timestamp(15)));
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->value(), "v");
  it->Next();
  EXPECT_FALSE(it->Valid());
  it->Seek(VersionKey(group, "key77", kTimestampMax));
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->value(), "w");
}

// The engine keeps what it needs for a look-up: each must still see all that was written before it.
TEST_P(EngineTest, EachLookUpSeesWhatWasWritten) {
  GroupId group(1);
  auto newest = [&](const std::string& key) -> std::string {
    IterateOptions options;
    options.lower = VersionsPrefix(group, key);
    options.upper = PrefixEnd(options.lower);
    options.one_prefix = true;
    auto it = engine_->NewIterator(options);
    it->Seek(VersionKey(group, key, kTimestampMax));
    return it->Valid() ? std::string(it->value()) : "none";
  };
  for (uint64_t i = 1; i <= 400; ++i) {
    Put(VersionKey(group, "a", Timestamp(i)), std::to_string(i));
    // Sometimes writes go on for long without a look-up, sometimes all lies in files.
    if (i % 100 < 80) {
      EXPECT_EQ(newest("a"), std::to_string(i));
    }
    if (i % 50 == 0) {
      ASSERT_TRUE(engine_->Flush().ok());
    }
    EXPECT_EQ(newest("b"), "none");
  }
  auto batch = engine_->NewBatch();
  batch->DeleteRange(VersionsPrefix(group, "a"), PrefixEnd(VersionsPrefix(group, "a")));
  ASSERT_TRUE(engine_->Write(*batch).ok());
  EXPECT_EQ(newest("a"), "none");
  Put(VersionKey(group, "a", Timestamp(500)), "again");
  EXPECT_EQ(newest("a"), "again");
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "RocksDb" : "Memory"; });

size_t FilesAtLevel(RocksEngine& engine, int level) {
  std::vector<rocksdb::LiveFileMetaData> files;
  engine.db()->GetLiveFilesMetaData(&files);
  return static_cast<size_t>(std::count_if(
      files.begin(), files.end(), [level](const auto& file) { return file.level == level; }));
}

// Also where there is a state already, in files of any level and in memory.
TEST(RocksEngine, IngestPutsFilesAtTheBottom) {
  ScratchDirectory directory;
  RocksEngineOptions options;
  options.file_bytes = kFileBytes;
  auto engine = RocksEngine::Open(directory.path() + "/data", options);
  ASSERT_TRUE(engine.ok());
  for (int round = 0; round < 3; ++round) {
    auto staging = (*engine)->NewStaging("g", "h");
    ASSERT_TRUE(staging.ok());
    StageMany(**staging, nullptr);
    ASSERT_TRUE((*engine)->Ingest(*std::move(staging)).ok());
    EXPECT_EQ(FilesAtLevel(**engine, 0), 0u);
    EXPECT_GT(FilesAtLevel(**engine, 6), 50u);
    for (int i = 0; i < kManyPairs; i += 100) {
      auto batch = (*engine)->NewBatch();
      batch->Put(NumberedKey(i), "newer");
      ASSERT_TRUE((*engine)->Write(*batch).ok());
      if (i % 5000 == 0) {
        ASSERT_TRUE((*engine)->Flush().ok());
      }
    }
  }
}

TEST(RocksEngine, AFailedIngestLeavesNothingOfItself) {
  ScratchDirectory directory;
  RocksEngineOptions options;
  options.file_bytes = kFileBytes;
  auto engine = RocksEngine::Open(directory.path() + "/data", options);
  ASSERT_TRUE(engine.ok());
  auto batch = (*engine)->NewBatch();
  batch->Put("f", "kept");
  batch->Put("g1", "old");
  ASSERT_TRUE((*engine)->Write(*batch).ok());
  ASSERT_TRUE((*engine)->Flush().ok());
  auto staging = (*engine)->NewStaging("g", "h");
  ASSERT_TRUE(staging.ok());
  StageMany(**staging, nullptr);
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory.path() + "/data/staged")) {
    if (++files == 20) std::filesystem::resize_file(file.path(), 100);
  }
  ASSERT_GT(files, 50);
  EXPECT_FALSE((*engine)->Ingest(*std::move(staging)).ok());
  auto left = [&] {
    std::string keys;
    auto it = (*engine)->NewIterator({});
    for (it->Seek("a"); it->Valid(); it->Next()) keys += std::string(it->key()) + " ";
    EXPECT_TRUE(it->status().ok());
    return keys;
  };
  EXPECT_EQ(left(), "f ");
  EXPECT_TRUE(std::filesystem::is_empty(directory.path() + "/data/staged"));
  engine->reset();
  engine = RocksEngine::Open(directory.path() + "/data", options);
  ASSERT_TRUE(engine.ok());
  EXPECT_EQ(left(), "f ");
}

TEST(RocksEngine, CompactionDropsWhatTheSafePointAllows) {
  ScratchDirectory directory;
  RocksEngineOptions options;
  Timestamp safe_point;
  options.safe_point = [&](const Engine&, GroupId) { return safe_point; };
  auto engine = RocksEngine::Open(directory.path() + "/data", options);
  ASSERT_TRUE(engine.ok());
  GroupId group(1);
  auto put = [&](const char* key, uint64_t ts, VersionKind kind) {
    Version version;
    version.kind = kind;
    auto batch = (*engine)->NewBatch();
    batch->Put(VersionKey(group, key, Timestamp(ts)), Encode(version));
    ASSERT_TRUE((*engine)->Write(*batch).ok());
  };
  put("a", 10, VersionKind::kValue);
  put("a", 20, VersionKind::kValue);
  put("a", 30, VersionKind::kValue);
  put("b", 10, VersionKind::kValue);
  put("b", 20, VersionKind::kTombstone);
  put("c", 10, VersionKind::kTombstone);
  put("c", 40, VersionKind::kValue);
  put("d", 10, VersionKind::kOutcome);
  safe_point = Timestamp(25);
  ASSERT_TRUE((*engine)->CompactAll().ok());
  std::string left;
  IterateOptions all;
  auto it = (*engine)->NewIterator(all);
  for (it->Seek(SpacePrefix(group, Space::kVersions)); it->Valid(); it->Next()) {
    left += *UserKeyOf(it->key()) + TimestampOf(it->key()).ToString() + " ";
  }
  EXPECT_EQ(left, "a30 a20 c40 ");
}

}  // namespace
}  // namespace kvd::storage
