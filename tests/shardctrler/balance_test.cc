// Splits, merges, and what moves where.
#include "shardctrler/balance.h"

#include <cmath>
#include <random>

#include "shardctrler/scatter.h"
#include "shardctrler/sizing.h"
#include "tests/shardctrler/loaded_cluster.h"

namespace kvd::shardctrler {
namespace {

class BalanceTest : public LoadedCluster {};

double BytesOf(const Amounts& a) { return static_cast<double>(a.bytes); }
double LoadOf(const Amounts& a) { return a.load; }

TEST_F(BalanceTest, ALargeShardIsSplit) {
  for (auto& key : keys_) key.bytes = 60.0 * kMiB / kKeys;
  EXPECT_EQ(Rest(), 0u);
  for (auto& key : keys_) key.bytes = 200.0 * kMiB / kKeys;
  EXPECT_EQ(Rest(), 3u);
  EXPECT_EQ(state().shards().size(), 4u);
  EXPECT_GE(state().shards().At(Key(kKeys / 2 + 10))->first, Key(kKeys / 2 - 10));
  Do(SetCommand("shard-size-max-mb", 20));
  Rest();
  EXPECT_EQ(state().shards().size(), 16u);
}

TEST_F(BalanceTest, LittleDataIsSplitSoThatAllGroupsGetSome) {
  for (auto& key : keys_) key.bytes = 40.0 * kMiB / kKeys;
  Grow(4);
  Rest();
  EXPECT_GE(state().shards().size(), 12u);
  EXPECT_LE(state().shards().size(), 40u);
  EXPECT_LT(Spread(BytesOf), 1.5);
}

TEST_F(BalanceTest, BytesAreBalancedWhereKeysAreUneven) {
  for (int i = 0; i < kKeys; ++i)
    keys_[static_cast<size_t>(i)].bytes = 4.0 * kMiB * std::exp(-i / 500.0);
  Grow(5);
  Rest();
  EXPECT_LT(Spread(BytesOf), 1.5);
}

TEST_F(BalanceTest, LoadIsSplitWhereItHalvesAndSpread) {
  for (int i = 4'000; i < 4'100; ++i) keys_[static_cast<size_t>(i)].load = 300;
  Grow(3);
  Rest();
  EXPECT_LT(Spread(LoadOf), 1.6);
  for (const auto& [start, shard] : state().shards().shards())
    EXPECT_LE(load_.Find(shard.id)->load(), 4'000);
}

TEST_F(BalanceTest, AHotKeyIsNotSplit) {
  Grow(3);
  Rest();
  ShardReport report;
  const Shard& shard = state().shards().At("k")->second;
  report.epoch = shard.epoch;
  report.group = shard.group;
  report.reads = 100'000;
  report.hot_key = "k";
  report.hot_percent = 90;
  load_.Note(shard.id, report);
  for (const Operation& o : Schedule(state(), view_)) EXPECT_NE(o.kind, OperationKind::kSplit);
}

TEST_F(BalanceTest, ASplitKeyOfAnEarlierEpochIsNotUsed) {
  for (auto& key : keys_) key.bytes = 200.0 * kMiB / kKeys;
  Tell();
  auto split = Do(OpenCommand(SplitOf(1, Key(5'000)))).operation;
  Do(AdvanceCommand(split, Phase::kRunning, Phase::kDone));
  EXPECT_TRUE(Schedule(state(), view_).empty());
}

TEST_F(BalanceTest, WhatBecameSmallIsMerged) {
  for (auto& key : keys_) key.bytes = 3'000.0 * kMiB / kKeys;
  Grow(3);
  Rest();
  size_t many = state().shards().size();
  EXPECT_GE(many, 47u);
  for (auto& key : keys_) key.bytes = 1;
  Rest();
  EXPECT_LE(state().shards().size(), 12u) << "of " << many;
  ExpectBalancedShards();
}

// Of two neighbours in two groups one moves, and then they are merged, wherever pairs are looked
// for by then, and after a restart too.
TEST_F(BalanceTest, WhatMovedToBeMergedIsMerged) {
  Grow(2);
  Do(SetCommand("auto-balance", 0));
  SplitInto(20);
  ShardId left = state().shards().At("k10005")->second.id;
  ShardId right = state().shards().At("k10006")->second.id;
  GroupId there(state().shards().Find(right)->second.group == GroupId(2) ? 3 : 2);
  Do(OpenCommand(MoveOf(right.value(), there.value())));
  while (state().open_operations() > 0) Step();
  for (ShardId id : {left, right}) {
    ShardReport report;
    report.epoch = state().shards().Find(id)->second.epoch;
    report.group = state().shards().Find(id)->second.group;
    report.bytes = 100;
    load_.Note(id, report);
  }
  Merges joins = MergeShards(state(), view_, 4, 4);
  ASSERT_EQ(joins.operations.size(), 1u);
  EXPECT_EQ(joins.operations[0].kind, OperationKind::kMove);
  EXPECT_EQ(joins.operations[0].shard, right);
  Do(OpenCommand(joins.operations[0]));
  // Whatever balance would rather have: the other one waits for it.
  for (const auto& [start, shard] : state().shards().shards()) {
    if (shard.id == left || shard.id == right) continue;
    Do(OpenCommand(SplitOf(shard.id.value(), start + "a")));
  }
  Do(SetCommand("auto-balance", 1));
  for (const Operation& o : Schedule(state(), view_)) EXPECT_NE(o.shard, left);
  while (state().open_operations() > 0) Step();
  load_.Follow(state());
  controller_.Restart();
  view_.merges_from = "k10015";
  Merges merges = MergeShards(state(), view_, 4, 4);
  ASSERT_EQ(merges.operations.size(), 1u);
  EXPECT_EQ(merges.operations[0].kind, OperationKind::kMerge);
  EXPECT_EQ(merges.operations[0].shard, left);
  EXPECT_EQ(merges.operations[0].other, right);
}

// What there is no room for now is looked at first the next time.
TEST_F(BalanceTest, NoPairIsPassedOver) {
  Grow(2);
  SplitInto(40);
  for (const auto& [start, shard] : state().shards().shards()) {
    ShardReport report;
    report.epoch = shard.epoch;
    report.group = GroupId(2);
    report.bytes = 100;
    load_.Note(shard.id, report);
  }
  Merges none = MergeShards(state(), view_, 0, 4);
  EXPECT_TRUE(none.operations.empty());
  EXPECT_EQ(none.next, "");
  Merges some = MergeShards(state(), view_, 3, 0);
  ASSERT_EQ(some.operations.size(), 3u);
  EXPECT_EQ(some.next, "k10006") << "behind the three pairs";
  // The right one of the second pair is elsewhere: without a move there is no merge.
  ShardId elsewhere = state().shards().At("k10003")->second.id;
  Do(OpenCommand(MoveOf(elsewhere.value(), 3)));
  while (state().open_operations() > 0) Step();
  load_.Follow(state());
  some = MergeShards(state(), view_, 3, 0);
  ASSERT_EQ(some.operations.size(), 3u);
  EXPECT_EQ(some.next, "k10002") << "there is one for which there was no move";
}

TEST_F(BalanceTest, WhatAnOperatorSplitIsNotMerged) {
  for (int i = 1; i < 40; ++i) {
    Operation split = SplitOf(state().shards().At(Key(i * 100))->second.id.value(), Key(i * 100));
    split.by_hand = i % 2 == 0;
    auto id = Do(OpenCommand(split)).operation;
    Do(AdvanceCommand(id, Phase::kRunning, Phase::kDone));
  }
  Rest();
  EXPECT_EQ(state().shards().size(), 20u) << "the nineteen that were split by hand, and the first";
  controller_.Restart();
  Rest();
  EXPECT_EQ(state().shards().size(), 20u);
}

// Loads are never the same twice: that alone moves nothing.
TEST_F(BalanceTest, NoiseMovesNothing) {
  std::mt19937 random(1);
  for (auto& key : keys_) key = {100.0 * kMiB / kKeys, 10'000.0 / kKeys};
  Grow(3);
  Rest();
  // Of each key; of all those of a shard together it is some per cent.
  noise_ = [&random] { return std::uniform_real_distribution<double>(0.2, 1.8)(random); };
  for (int i = 0; i < 200; ++i) EXPECT_EQ(Rest(), 0u) << i;
}

// A group that has too much in one shard that can't be split keeps it, and the others go on.
TEST_F(BalanceTest, OneHotShardDoesNotKeepTheOthersWhereTheyAre) {
  Grow(3);
  Do(SetCommand("auto-balance", 0));
  SplitInto(30);
  ShardId hot = state().shards().At("k10029")->second.id;
  GroupId with = state().shards().Find(hot)->second.group;
  GroupId other(with == GroupId(2) ? 3 : 2);
  auto others = state().shards().Of(with);
  others.erase(hot);
  for (ShardId id : others) {
    Do(OpenCommand(MoveOf(id.value(), other.value())));
    while (state().open_operations() > 0) Step();
  }
  ShardReport report;
  report.epoch = state().shards().Find(hot)->second.epoch;
  report.group = with;
  report.reads = 50'000;
  load_.Note(hot, report);
  Do(SetCommand("auto-balance", 1));
  Settle();
  EXPECT_GT(moves_, 10u);
  auto counts = ShardCounts();
  EXPECT_EQ(counts[with], 1u);
  for (auto [group, count] : counts) EXPECT_TRUE(group == with || count >= 12) << count;
}

TEST_F(BalanceTest, WhatIsSwitchedOffIsNotDone) {
  Grow(3);
  for (const char* name : {"auto-split", "auto-merge", "auto-balance"}) Do(SetCommand(name, 0));
  for (auto& key : keys_) key.bytes = 500.0 * kMiB / kKeys;
  EXPECT_EQ(Rest(), 0u);
  SplitInto(40);
  EXPECT_EQ(Rest(), 0u);
  Do(SetCommand("auto-balance", 1));
  EXPECT_GT(Rest(), 0u);
}

TEST_F(BalanceTest, ScatterSpreadsARange) {
  Grow(4);
  Do(SetCommand("auto-balance", 0));
  SplitInto(40);
  KeyRange range{"k10020", "k10030"};
  Scattering plan = ScatterShards(state(), &load_, range, 100);
  EXPECT_EQ(plan.shards, 10u);
  std::map<GroupId, int> counts;
  for (const Operation& move : plan.moves) Do(OpenCommand(move));
  EXPECT_TRUE(ScatterShards(state(), &load_, range, 100).moves.empty())
      << "what moves counts already";
  for (int i = 0; i < 5; ++i) Step();
  for (const auto& [start, shard] : state().shards().shards()) {
    if (start >= range.start && start < range.end) ++counts[shard.group];
  }
  EXPECT_EQ(counts.size(), 4u);
  for (auto [group, count] : counts) EXPECT_TRUE(count == 2 || count == 3) << count;
}

}  // namespace
}  // namespace kvd::shardctrler
