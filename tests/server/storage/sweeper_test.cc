// The sweep of dead keys, on both engines.
#include "server/storage/sweeper.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "raft/runtime/random.h"
#include "server/storage/memory_engine.h"
#include "server/storage/mvcc_reader.h"
#include "server/storage/rocks_engine.h"
#include "tests/scratch_directory.h"

namespace kvd::storage {
namespace {

constexpr GroupId kGroup{3};

class SweeperTest : public testing::TestWithParam<bool> {
 protected:
  SweeperTest() {
    if (GetParam()) {
      engine_ = *RocksEngine::Open(directory_.path() + "/data", RocksEngineOptions());
    } else {
      engine_ = std::make_unique<MemoryEngine>();
    }
  }

  void Write(const std::string& key, uint64_t timestamp, VersionKind kind, uint64_t expiry = 0) {
    Version version;
    version.kind = kind;
    version.expiry = Timestamp(expiry);
    version.crc32c = ValueChecksum(key, "");
    auto batch = engine_->NewBatch();
    batch->Put(VersionKey(kGroup, key, Timestamp(timestamp)), Encode(version));
    ASSERT_TRUE(engine_->Write(*batch).ok());
  }

  // Runs a whole pass, two keys a step.
  uint64_t Pass(Sweeper& sweeper, uint64_t safe_point) {
    uint64_t removed = 0;
    for (int i = 0; i < 1000; ++i) {
      auto step = sweeper.Step(Timestamp(safe_point), 2);
      EXPECT_TRUE(step.ok()) << step.status();
      removed += *step;
    }
    return removed;
  }

  std::vector<std::string> Left() {
    std::vector<std::string> out;
    MvccReader reader(engine_.get(), kGroup);
    EXPECT_TRUE(reader
                    .DeltaScan(KeyRange(), Timestamp(), kTimestampMax,
                               [&](const std::string& key, Timestamp timestamp, const Version&) {
                                 out.push_back(key + "@" + std::to_string(timestamp.value()));
                                 return true;
                               })
                    .ok());
    return out;
  }

  ScratchDirectory directory_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(SweeperTest, RemovesOnlyWhatIsDeadAndLast) {
  Sweeper sweeper(engine_.get(), kGroup, Timestamp());
  EXPECT_TRUE(sweeper.resting());
  Write("deleted", 10, VersionKind::kTombstone);
  Write("expired", 5, VersionKind::kValue, 20);
  Write("expires later", 5, VersionKind::kValue, 200);
  Write("history", 5, VersionKind::kValue);
  Write("history", 10, VersionKind::kTombstone);
  Write("live", 5, VersionKind::kValue);
  Write("new", 10, VersionKind::kTombstone);
  Write("new", 90, VersionKind::kValue);
  Write("recent", 90, VersionKind::kTombstone);
  for (uint64_t at : {10, 20, 200, 90}) sweeper.NoteDeath(Timestamp(at));
  EXPECT_EQ(Pass(sweeper, 9), 0u) << "nothing can be dead yet";
  EXPECT_EQ(Pass(sweeper, 50), 3u);
  EXPECT_THAT(Left(), testing::ElementsAre("expires later@5", "history@10", "history@5", "live@5",
                                           "new@90", "recent@90"));
  EXPECT_FALSE(sweeper.resting());
  // The older version goes by a compaction; then the tombstone can go too.
  auto batch = engine_->NewBatch();
  batch->Delete(VersionKey(kGroup, "history", Timestamp(5)));
  ASSERT_TRUE(engine_->Write(*batch).ok());
  EXPECT_EQ(Pass(sweeper, 300), 3u);
  EXPECT_THAT(Left(), testing::ElementsAre("live@5", "new@90"));
  EXPECT_TRUE(sweeper.resting());
}

// Whatever a reader at or above the safe point sees is the same before and after.
TEST_P(SweeperTest, NeverChangesWhatIsVisible) {
  Random random(7);
  for (uint64_t timestamp = 1; timestamp <= 400; ++timestamp) {
    auto pick = random.Below(10);
    Write("k" + std::to_string(random.Below(60)), timestamp,
          pick < 5   ? VersionKind::kTombstone
          : pick < 6 ? VersionKind::kOutcome
                     : VersionKind::kValue,
          random.Chance(0.3) ? timestamp + random.Below(100) : 0);
  }
  MvccReader reader(engine_.get(), kGroup);
  auto visible = [&](uint64_t at) {
    std::string out;
    ScanOptions options;
    options.at = Timestamp(at);
    EXPECT_TRUE(reader
                    .Scan(options,
                          [&](const std::string& key, Timestamp t, const Version&) {
                            out += key + "@" + std::to_string(t.value()) + " ";
                            return true;
                          })
                    .ok());
    return out;
  };
  Sweeper sweeper(engine_.get(), kGroup, Timestamp(400));
  for (uint64_t safe_point = 50; safe_point <= 600; safe_point += 50) {
    std::vector<std::string> before;
    for (uint64_t at = safe_point; at < 650; at += 7) before.push_back(visible(at));
    Pass(sweeper, safe_point);
    for (uint64_t at = safe_point, i = 0; at < 650; at += 7, ++i) EXPECT_EQ(visible(at), before[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, SweeperTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Rocks" : "Memory"; });

}  // namespace
}  // namespace kvd::storage
