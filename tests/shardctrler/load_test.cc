// What stores told the controller's leader, as operations change what it is about.
#include "shardctrler/load.h"

#include "shardctrler/scheduler.h"
#include "tests/shardctrler/obedient_cluster.h"

namespace kvd::shardctrler {
namespace {

ShardReport Report(uint64_t epoch, uint64_t group, uint64_t bytes, double reads = 0) {
  ShardReport report;
  report.epoch = Epoch(epoch);
  report.group = GroupId(group);
  report.bytes = bytes;
  report.reads = reads;
  return report;
}

class LoadTest : public ObedientCluster {
 protected:
  ClusterLoad load_;
};

TEST_F(LoadTest, TheLastReportCounts) {
  load_.Note(ShardId(1), Report(1, 2, 100, 5));
  load_.Note(ShardId(2), Report(1, 2, 50, 5));
  load_.Note(ShardId(1), Report(2, 3, 70, 1));
  load_.Note(ShardId(1), Report(1, 2, 1'000, 1));
  EXPECT_EQ(load_.Of(GroupId(2)).bytes, 50u);
  EXPECT_EQ(load_.Of(GroupId(3)).bytes, 70u) << "what came late of an earlier epoch counts not";
  EXPECT_EQ(load_.total().bytes, 120u);
  EXPECT_EQ(load_.total().load, 6);
  EXPECT_EQ(load_.Find(ShardId(9)), nullptr);
}

TEST_F(LoadTest, FollowsMovesAndMerges) {
  Join({StoreNumber(2)});
  Settle();
  SplitInto(2);
  ShardId first = state().shards().At("")->second.id, second = state().shards().At("z")->second.id;
  uint64_t from = state().shards().At("z")->second.group.value();
  uint64_t to = from == 2 ? 3 : 2;
  load_.Note(first, Report(2, from, 10));
  load_.Note(second, Report(1, from, 100));
  Do(OpenCommand(MoveOf(second.value(), to)));
  load_.Follow(state());
  EXPECT_EQ(load_.Of(GroupId(to)).bytes, 0u) << "not yet";
  while (state().open_operations() > 0) Step();
  load_.Follow(state());
  EXPECT_EQ(load_.Of(GroupId(to)).bytes, 100u);
  EXPECT_EQ(load_.Of(GroupId(from)).bytes, 10u);

  Do(OpenCommand(MoveOf(first.value(), to)));
  while (state().open_operations() > 0) Step();
  load_.Note(first, Report(3, to, 10));
  Do(OpenCommand(MergeOf(first.value())));
  while (state().open_operations() > 0) Step();
  load_.Follow(state());
  load_.Follow(state());
  EXPECT_EQ(load_.Find(second), nullptr);
  EXPECT_EQ(load_.total().bytes, 110u) << "counted once";
}

TEST_F(LoadTest, RanksAndTheBusiest) {
  load_.Note(ShardId(1), Report(1, 2, 32 << 20, 100));
  load_.Note(ShardId(2), Report(1, 2, 0, 900));
  load_.Note(ShardId(3), Report(1, 3, 16 << 20));
  load_.Note(ShardId(4), Report(1, 2, 1, 100));
  auto ranked = [this](uint64_t group) {
    std::vector<uint64_t> ids;
    for (const auto& [weight, id] : load_.RankedOf(GroupId(group))) ids.push_back(id.value());
    return ids;
  };
  EXPECT_EQ(ranked(2), (std::vector<uint64_t>{4, 2, 1}));
  EXPECT_EQ(ranked(3), (std::vector<uint64_t>{3}));
  EXPECT_EQ(ranked(4), (std::vector<uint64_t>{}));
  EXPECT_EQ(load_.Busiest(2), (std::vector<ShardId>{ShardId(2), ShardId(4)}));
  EXPECT_EQ(load_.Busiest(9).size(), 3u) << "one is asked nothing";
  load_.Note(ShardId(2), Report(2, 3, 0, 1));
  EXPECT_EQ(ranked(2), (std::vector<uint64_t>{4, 1}));
  EXPECT_EQ(ranked(3), (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(load_.Busiest(1), (std::vector<ShardId>{ShardId(4)}));
}

// What is told of a shard that is no more is forgotten, however late it came.
TEST_F(LoadTest, WhatCameLateOfAShardThatIsNoMoreIsForgotten) {
  for (uint64_t id = 100; id < 200; ++id) load_.Note(ShardId(id), Report(1, id, 10, 1));
  uint64_t version = load_.version();
  for (int i = 0; i < 10; ++i) load_.Follow(state());
  EXPECT_EQ(load_.total().bytes, 0u);
  EXPECT_TRUE(load_.Busiest(10).empty());
  EXPECT_GT(load_.version(), version);
  version = load_.version();
  for (int i = 0; i < 10; ++i) load_.Follow(state());
  EXPECT_EQ(load_.version(), version) << "nothing is to be looked at again for it";
}

TEST_F(LoadTest, LeadersAreWhoSaysSo) {
  load_.NoteLeads(StoreId(1), {GroupId(1), GroupId(2)});
  load_.NoteLeads(StoreId(2), {GroupId(2)});
  load_.NoteLeads(StoreId(1), {GroupId(1)});
  EXPECT_EQ(load_.LeaderOf(GroupId(2)), StoreId(2));
  EXPECT_EQ(load_.LeadsOf(StoreId(1)), 1u);
  EXPECT_EQ(load_.LeadsOf(StoreId(2)), 1u);
  load_.Forget(StoreId(2));
  EXPECT_EQ(load_.LeaderOf(GroupId(2)), StoreId());
  EXPECT_EQ(load_.LeaderOf(GroupId(1)), StoreId(1));
  EXPECT_EQ(load_.LeadsOf(StoreId(2)), 0u);
}

class SlowTest : public testing::Test {
 protected:
  void Tell(double sync_ms, double to_third_ms = 1) {
    for (uint64_t id = 1; id <= 3; ++id) {
      StoreReport report;
      report.sync_ms = id == 3 ? sync_ms : 3;
      report.syncs = 20;
      for (uint64_t peer = 1; peer <= 3; ++peer) {
        if (peer != id) report.round_trip_ms[StoreId(peer)] = peer == 3 ? to_third_ms : 1;
      }
      load_.Note(StoreId(id), report);
    }
  }
  bool IsSlow() const {
    EXPECT_FALSE(load_.IsSlow(StoreId(1)) || load_.IsSlow(StoreId(2)));
    return load_.IsSlow(StoreId(3));
  }

  ClusterLoad load_;
};

TEST_F(SlowTest, ADiskThatIsSlowForSeconds) {
  Tell(3);
  for (int i = 0; i < 3; ++i) Tell(200);
  EXPECT_FALSE(IsSlow()) << "it may be a hiccup";
  Tell(200);
  EXPECT_TRUE(IsSlow());
  EXPECT_EQ(load_.WhySlow(StoreId(3)), "its log's syncs take 200 ms, those of others 3 ms");
  for (int i = 0; i < 9; ++i) Tell(3);
  EXPECT_TRUE(IsSlow()) << "it may be a lull";
  Tell(3);
  EXPECT_FALSE(IsSlow());
  EXPECT_EQ(load_.WhySlow(StoreId(3)), "");
}

TEST_F(SlowTest, TheWayToIt) {
  for (int i = 0; i < 4; ++i) Tell(3, 300);
  EXPECT_TRUE(IsSlow());
  EXPECT_EQ(load_.WhySlow(StoreId(3)), "a round trip to it takes 300 ms, to others 1 ms");
}

TEST_F(SlowTest, BesideTheOthersOnly) {
  for (int i = 0; i < 20; ++i) Tell(11);
  EXPECT_FALSE(IsSlow()) << "four times what others take, and still quick";
  for (int i = 0; i < 20; ++i) {
    for (uint64_t id = 1; id <= 3; ++id)
      load_.Note(StoreId(id), {.sync_ms = 500, .syncs = 3, .round_trip_ms = {}});
  }
  EXPECT_FALSE(IsSlow()) << "all are";
  load_.Forget(StoreId(3));
  EXPECT_FALSE(IsSlow());
}

TEST_F(SlowTest, WhoWritesNothingIsNotSlow) {
  Tell(3);
  for (int i = 0; i < 20; ++i)
    load_.Note(StoreId(3), {.sync_ms = 0, .syncs = 0, .round_trip_ms = {}});
  EXPECT_FALSE(IsSlow());
}

}  // namespace
}  // namespace kvd::shardctrler
