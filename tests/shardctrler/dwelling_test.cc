// What has moved lately stays where it is for a while: neither loads that were told before, nor the
// wish to merge it, nor balance after an operator's move take it back at once.
#include "shardctrler/dwelling.h"

#include "shardctrler/balance.h"
#include "shardctrler/scatter.h"
#include "tests/shardctrler/obedient_cluster.h"

namespace kvd::shardctrler {
namespace {

using std::chrono::seconds;

class DwellingTest : public ObedientCluster {
 protected:
  DwellingTest() {
    view_.load = &load_;
    view_.dwelling = &dwelling_;
    Do(SetCommand("auto-merge", 0));
  }

  void Elapse(Duration time) {
    now_ += time;
    dwelling_.Follow(state(), now_);
  }
  // As Settle, with half a second between two decisions.
  void Rest() {
    for (int i = 0; i < 1'000; ++i) {
      load_.Follow(state());
      Elapse(milliseconds(500));
      if (Open() == 0 && state().open_operations() == 0) return;
      Step();
    }
    FAIL() << "it never comes to rest";
  }
  void MoveNow(ShardId shard, GroupId to, bool by_hand) {
    Operation move = MoveOf(shard.value(), to.value());
    move.by_hand = by_hand;
    Do(OpenCommand(move));
    while (state().open_operations() > 0) Step();
    load_.Follow(state());
    Elapse(Duration::zero());
  }
  void Tell(ShardId id, uint64_t mib, double reads) {
    const Shard& shard = state().shards().Find(id)->second;
    ShardReport report;
    report.epoch = shard.epoch;
    report.group = shard.group;
    report.bytes = mib << 20;
    report.reads = reads;
    load_.Note(id, report);
  }
  bool IsMovedNext(ShardId id) const {
    for (const Operation& o : Schedule(state(), view_)) {
      if (o.kind == OperationKind::kMove && o.shard == id) return true;
    }
    return false;
  }
  const Shard& At(const std::string& key) const { return state().shards().At(key)->second; }

  ClusterLoad load_;
  Dwelling dwelling_;
  MonotonicTime now_;
};

TEST_F(DwellingTest, AShardThatMovedStaysForTheTimeThatIsSet) {
  Join({StoreNumber(2)});
  SplitInto(2);
  Rest();
  Elapse(seconds(100));
  ShardId some = At("").id;
  MoveNow(some, GroupId(At("").group == GroupId(2) ? 3 : 2), /*by_hand=*/false);
  EXPECT_TRUE(dwelling_.Has(some));
  EXPECT_TRUE(Schedule(state(), view_)[0].shard != some) << "the other one goes in its place";
  Elapse(seconds(29));
  EXPECT_TRUE(dwelling_.Has(some));
  uint64_t version = dwelling_.version();
  Elapse(seconds(1));
  EXPECT_FALSE(dwelling_.Has(some));
  EXPECT_NE(dwelling_.version(), version);
  EXPECT_EQ(dwelling_.size(), 0u);

  Do(SetCommand("shard-dwell-s", 5));
  MoveNow(some, GroupId(At("").group == GroupId(2) ? 3 : 2), /*by_hand=*/false);
  Elapse(seconds(4));
  EXPECT_TRUE(dwelling_.Has(some));
  Elapse(seconds(1));
  EXPECT_FALSE(dwelling_.Has(some));

  Do(SetCommand("shard-dwell-s", 0));
  MoveNow(some, GroupId(At("").group == GroupId(2) ? 3 : 2), /*by_hand=*/false);
  EXPECT_FALSE(dwelling_.Has(some));
  MoveNow(some, GroupId(At("").group == GroupId(2) ? 3 : 2), /*by_hand=*/true);
  Elapse(seconds(3'599));
  EXPECT_TRUE(dwelling_.Has(some)) << "an operator's stays for an hour";
  Elapse(seconds(1));
  EXPECT_FALSE(dwelling_.Has(some));
}

TEST_F(DwellingTest, WhatIsCancelledHasNotMoved) {
  Join({StoreNumber(2)});
  SplitInto(2);
  Rest();
  ShardId some = At("").id;
  Elapse(seconds(100));
  OperationId id =
      Do(OpenCommand(MoveOf(some.value(), At("").group == GroupId(2) ? 3 : 2))).operation;
  Do(AdvanceCommand(id, Phase::kRunning, Phase::kCancelling));
  Do(AdvanceCommand(id, Phase::kCancelling, Phase::kCancelled));
  Elapse(Duration::zero());
  EXPECT_FALSE(dwelling_.Has(some));
}

// A new leader knows that they moved, not when.
TEST_F(DwellingTest, ANewLeaderTakesRecordsForRecent) {
  Join({StoreNumber(2)});
  SplitInto(8);
  Rest();
  Elapse(seconds(100));
  EXPECT_EQ(dwelling_.size(), 0u);
  uint64_t version = dwelling_.version();
  dwelling_.Clear();
  Elapse(Duration::zero());
  EXPECT_EQ(dwelling_.size(), 4u);
  EXPECT_GT(dwelling_.version(), version);
  Elapse(seconds(30));
  EXPECT_EQ(dwelling_.size(), 0u);
}

// Each store tells what it measures late, and the one that has just got a shard tells too much for
// a while: what moved does not come back by it.
TEST_F(DwellingTest, LoadsThatWereToldLateTakeNothingBack) {
  Join({StoreNumber(2)});
  SplitInto(12);
  Rest();
  Elapse(seconds(100));
  for (const auto& [start, shard] : state().shards().shards())
    Tell(shard.id, 64, shard.group == GroupId(2) ? 2'000 : 1'000);
  std::map<ShardId, int> moved;
  // For half a minute whoever has just got a shard says that it is asked twice as often.
  for (int i = 0; i < 58; ++i) {
    load_.Follow(state());
    Elapse(milliseconds(500));
    for (Operation& o : Schedule(state(), view_)) {
      if (o.kind == OperationKind::kMove) ++moved[o.shard];
      Do(OpenCommand(o));
    }
    Step();
    for (const auto& [id, times] : moved) Tell(id, 64, i % 2 == 0 ? 4'000 : 1'000);
  }
  EXPECT_GT(moved.size(), 0u);
  for (const auto& [id, times] : moved) EXPECT_EQ(times, 1) << id.value();
}

// Balance makes up for it with other shards, and leaves those that were scattered.
TEST_F(DwellingTest, WhatWasScatteredStays) {
  for (uint64_t n = 2; n <= 4; ++n) Join({StoreNumber(n)});
  SplitInto(40);
  Rest();
  Elapse(seconds(100));
  KeyRange range{"k10010", "k10022"};
  // All of the range in one group, as after a bulk load.
  for (const auto& [start, shard] : std::map(state().shards().shards())) {
    if (start >= range.start && start < range.end && shard.group != GroupId(2)) {
      Operation move = MoveOf(shard.id.value(), 2);
      Do(OpenCommand(move));
    }
  }
  while (state().open_operations() > 0) Step();
  for (const auto& [start, shard] : state().shards().shards()) Tell(shard.id, 20, 100);
  Elapse(seconds(100));

  Scattering plan = ScatterShards(state(), &load_, range, 100);
  EXPECT_EQ(plan.moves.size(), 9u);
  for (const Operation& move : plan.moves) Do(OpenCommand(move));
  while (state().open_operations() > 0) Step();
  std::map<ShardId, GroupId> scattered;
  for (const Operation& move : plan.moves) scattered[move.shard] = move.to;
  Rest();
  Elapse(seconds(600));
  Rest();
  for (const auto& [id, group] : scattered)
    EXPECT_EQ(state().shards().Find(id)->second.group, group) << id.value();
  ExpectBalancedShards();
  // After the hour there is nothing that balance would rather have.
  Elapse(seconds(3'600));
  EXPECT_TRUE(Schedule(state(), view_).empty());
}

// The heaviest go to who has least: balance has nothing to do even if none has to stay.
TEST_F(DwellingTest, ScatterLeavesLittleToBalance) {
  for (uint64_t n = 2; n <= 4; ++n) Join({StoreNumber(n)});
  Do(SetCommand("auto-balance", 0));
  Do(SetCommand("auto-split", 0));
  SplitInto(32);
  Rest();
  uint64_t row = 0;
  for (const auto& [start, shard] : state().shards().shards()) Tell(shard.id, 8 + row++ % 8 * 8, 0);
  Scattering plan = ScatterShards(state(), &load_, KeyRange(), 100);
  EXPECT_EQ(plan.moves.size(), 24u);
  for (const Operation& move : plan.moves) Do(OpenCommand(move));
  while (state().open_operations() > 0) Step();
  load_.Follow(state());
  ExpectBalancedShards();
  Do(SetCommand("auto-balance", 1));
  view_.dwelling = nullptr;
  EXPECT_TRUE(Schedule(state(), view_).empty());
}

}  // namespace
}  // namespace kvd::shardctrler
