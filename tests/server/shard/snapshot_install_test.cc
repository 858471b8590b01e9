// A group whose snapshot could not be taken in: it goes on only if it still has the state of
// before.
#include "gtest/gtest.h"
#include "server/shard/data_group.h"
#include "server/storage/memory_engine.h"

namespace kvd::shard {
namespace {

constexpr GroupId kGroup{1};
constexpr ReplicaId kSender{1};
constexpr ReplicaId kReceiver{2};

// Fails to take anything in, before or after the range was emptied.
class FailingEngine : public storage::MemoryEngine {
 public:
  explicit FailingEngine(bool empties) : empties_(empties) {}
  absl::Status Ingest(std::unique_ptr<storage::Staging>) override {
    if (empties_) {
      auto [begin, end] = storage::GroupBounds(kGroup);
      auto batch = NewBatch();
      batch->DeleteRange(begin, end);
      EXPECT_TRUE(Write(*batch).ok() && Flush().ok());
    }
    return absl::InternalError("the ingest failed");
  }

 private:
  const bool empties_;
};

class SnapshotInstallTest : public testing::TestWithParam<bool> {};

TEST_P(SnapshotInstallTest, AFailureThatEmptiedTheStateEndsTheGroup) {
  storage::MemoryEngine source;
  auto from = DataGroup::Open(&source, kGroup, DataGroupOptions());
  ASSERT_TRUE(from.ok() && (*from)->Wipe(kSender).ok());
  FailingEngine target(GetParam());
  auto to = DataGroup::Open(&target, kGroup, DataGroupOptions());
  ASSERT_TRUE(to.ok() && (*to)->Wipe(kReceiver).ok());
  int ended = 0;
  (*to)->on_fatal = [&](const absl::Status&) { ++ended; };
  auto reader = (*from)->TakeSnapshot();
  auto stage = (*to)->StageSnapshot();
  ASSERT_TRUE(reader.ok() && stage.ok());
  auto chunk = (*reader)->Read(0);
  ASSERT_TRUE(chunk.ok() && chunk->last && (*stage)->Add(chunk->data).ok());
  EXPECT_FALSE((*to)->InstallSnapshot(*std::move(stage), (*reader)->meta(), kReceiver).ok());
  EXPECT_EQ(ended, GetParam() ? 1 : 0);
  EXPECT_EQ((*to)->TakeSnapshot().ok(), !GetParam());
}

INSTANTIATE_TEST_SUITE_P(Failures, SnapshotInstallTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "StateGone" : "StateThere"; });

}  // namespace
}  // namespace kvd::shard
