// What the controller decides by itself, carried out by a cluster that does as it is told: the
// scenarios of MIT 6.824's shard controller, and how a cluster grows, repairs and balances itself.
#include "shardctrler/scheduler.h"

#include <functional>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/shardctrler/obedient_cluster.h"

namespace kvd::shardctrler {
namespace {

using std::chrono::seconds;

class ClusterTest : public ObedientCluster {};

TEST_F(ClusterTest, VotersAreOdd) {
  EXPECT_EQ(VotersFor(3, 0), 0u);
  EXPECT_EQ(VotersFor(3, 1), 1u);
  EXPECT_EQ(VotersFor(3, 2), 1u);
  EXPECT_EQ(VotersFor(3, 3), 3u);
  EXPECT_EQ(VotersFor(3, 9), 3u);
  EXPECT_EQ(VotersFor(5, 4), 3u);
}

TEST_F(ClusterTest, GrowsFromOneStoreToFive) {
  Settle();
  EXPECT_EQ(state().groups().size(), 2u);
  Join({StoreNumber(2)});
  Settle();
  EXPECT_EQ(state().groups().size(), 3u) << "a core more leads a group more";
  ExpectRepaired(1);
  Join({StoreNumber(3)});
  Settle();
  EXPECT_EQ(state().FindGroup(kControllerGroup)->replicas.size(), 3u);
  ExpectRepaired(3);
  Join({StoreNumber(4), StoreNumber(5)});
  Settle();
  EXPECT_EQ(state().FindGroup(kControllerGroup)->replicas.size(), 5u);
  EXPECT_EQ(state().groups().size(), 6u);
  ExpectRepaired(3);
  for (const auto& [store, replicas] : ReplicaCounts()) EXPECT_EQ(replicas, 4u) << store.value();
}

TEST_F(ClusterTest, Join) {
  SplitInto(12);
  Join({StoreNumber(2)});
  Settle();
  EXPECT_EQ(ShardCounts(), (std::map<GroupId, size_t>{{GroupId(2), 6}, {GroupId(3), 6}}));
}

TEST_F(ClusterTest, Leave) {
  SplitInto(12);
  Join({StoreNumber(2), StoreNumber(3), StoreNumber(4)});
  Settle();
  Drain(2);
  Settle();
  ExpectRepaired(3);
  EXPECT_FALSE(state().HoldsReplica(StoreId(2)));
  Do(StateCommand(2, StoreState::kGone));
  ExpectBalancedShards();
}

TEST_F(ClusterTest, DrainOfTheLastStoreIsRefused) {
  Join({StoreNumber(2)});
  Settle();
  Drain(2);
  EXPECT_FALSE(controller_.Apply(StateCommand(1, StoreState::kDraining)).ok());
}

// As few as there can be: what one group has too much goes to those that have too little.
TEST_F(ClusterTest, MinimalTransfersAfterJoins) {
  SplitInto(60);
  for (uint64_t store = 2; store <= 5; ++store) {
    std::map<GroupId, size_t> before = ShardCounts();
    Join({StoreNumber(store)});
    Settle();
    ExpectBalancedShards();
    size_t taken = 0;
    for (const auto& [group, count] : ShardCounts()) {
      auto had = before.find(group);
      if (had == before.end()) taken += count;
      EXPECT_TRUE(had == before.end() || count <= had->second) << "it got shards, others gave";
    }
    EXPECT_EQ(moves_, taken) << store;
  }
}

TEST_F(ClusterTest, AtRestNothingIsDone) {
  SplitInto(20);
  Join({StoreNumber(2), StoreNumber(3), StoreNumber(4), StoreNumber(5), StoreNumber(6)});
  Settle();
  EXPECT_TRUE(Schedule(state(), view_).empty());
  controller_.Restart();
  EXPECT_TRUE(Schedule(state(), view_).empty());
}

TEST_F(ClusterTest, SeveralAtOnce) {
  SplitInto(30);
  Join({StoreNumber(2), StoreNumber(3), StoreNumber(4)});
  Open();
  Step();
  Join({StoreNumber(5), StoreNumber(6), StoreNumber(7)});
  Drain(3);
  Drain(4);
  Open();
  Settle();
  ExpectRepaired(3);
  ExpectBalancedShards();
  EXPECT_FALSE(state().HoldsReplica(StoreId(3)) || state().HoldsReplica(StoreId(4)));
}

// Whatever comes in between, in whatever order: it comes to rest, balanced, the same on all
// replicas, also on one that was restarted.
TEST_F(ClusterTest, ConcurrentJoinAndLeave) {
  std::mt19937 random(1);
  SplitInto(40);
  uint64_t next = 2;
  for (int round = 0; round < 300; ++round) {
    switch (random() % 6) {
      case 0:
        if (next <= 40) Join({StoreNumber(next++)});
        break;
      case 1: {
        StoreId store(1 + random() % (next - 1));
        auto state_now = random() % 2 == 0 ? StoreState::kDraining : StoreState::kServing;
        Command command = StateCommand(store.value(), state_now);
        EXPECT_EQ(controller_.Apply(command).ok(), other_.Apply(command).ok());
        break;
      }
      case 2:
        if (random() % 10 == 0) other_.Restart();
        break;
      case 3: Open(); break;
      default: Step();
    }
  }
  Settle();
  ExpectBalancedShards();
  for (const auto& [id, group] : state().groups()) {
    for (const Replica& r : group.replicas) {
      EXPECT_EQ(state().FindStore(r.store)->state, StoreState::kServing);
    }
  }
  for (ConfigNumber n(1); n <= state().ids().config; ++n) {
    auto here = controller_.Query(n), there = other_.Query(n);
    ASSERT_TRUE(here.ok() && there.ok());
    EXPECT_EQ(here->shards(), there->shards());
  }
}

TEST_F(ClusterTest, AStoreThatIsDownForLongIsReplaced) {
  Join({StoreNumber(2), StoreNumber(3), StoreNumber(4)});
  Settle();
  view_.silence[StoreId(2)] = seconds(299);
  Settle();
  EXPECT_EQ(changes_, 0u) << "one that comes back in time is not replaced";
  view_.silence[StoreId(2)] = seconds(300);
  Settle();
  EXPECT_FALSE(state().HoldsReplica(StoreId(2)));
  ExpectRepaired(3);
  view_.silence.clear();
  Settle();
  EXPECT_TRUE(state().HoldsReplica(StoreId(2)));
}

TEST_F(ClusterTest, WithNobodyToReplaceItADownStoreStays) {
  Join({StoreNumber(2), StoreNumber(3)});
  Settle();
  view_.silence[StoreId(2)] = seconds(3000);
  Settle();
  EXPECT_EQ(changes_, 0u);
}

// Four voters stand no more than three.
TEST_F(ClusterTest, VotersStayOddWhenAStoreLeaves) {
  Join({StoreNumber(2, "b"), StoreNumber(3, "b"), StoreNumber(4, "c"), StoreNumber(5, "d")});
  Settle();
  ASSERT_EQ(state().FindGroup(kControllerGroup)->replicas.size(), 5u);
  Drain(5);
  Settle();
  std::vector<StoreId> left;
  for (const Replica& r : state().FindGroup(kControllerGroup)->replicas) left.push_back(r.store);
  EXPECT_EQ(left.size(), 3u);
  EXPECT_THAT(left, testing::Contains(StoreId(4))) << "the only one of its zone";
  ExpectRepaired(3);
}

// But two have everything twice.
TEST_F(ClusterTest, TwoReplicasStayWhereThereIsNoThird) {
  Join({StoreNumber(2), StoreNumber(3)});
  Settle();
  Drain(3);
  Settle();
  for (const auto& [id, group] : state().groups()) EXPECT_EQ(group.replicas.size(), 2u);
}

TEST_F(ClusterTest, FewerReplicasAreKeptWhereFewerAreWanted) {
  Do(SetCommand("replicas", 5));
  for (uint64_t n = 2; n <= 6; ++n) Join({StoreNumber(n)});
  Settle();
  ExpectRepaired(5);
  Do(SetCommand("replicas", 3));
  Settle();
  ExpectRepaired(3);
}

// With a store down that nobody replaces, another one is emptied all the same: a group may have
// fewer replicas than it should, while those that are up are as many as can be.
TEST_F(ClusterTest, AStoreIsEmptiedWhileAnotherOneIsDown) {
  for (uint64_t n = 2; n <= 6; ++n) Join({StoreNumber(n)});
  Settle();
  view_.silence[StoreId(4)] = seconds(3000);
  Settle();
  Drain(2);
  Settle();
  for (const auto& [id, group] : state().groups()) {
    EXPECT_GE(group.replicas.size(), 3u) << "group " << id.value();
    for (const Replica& r : group.replicas) EXPECT_NE(r.store, StoreId(2)) << id.value();
  }
}

// No change of its replicas could be decided.
TEST_F(ClusterTest, AGroupWithoutQuorumIsLeftAlone) {
  Join({StoreNumber(2), StoreNumber(3), StoreNumber(4), StoreNumber(5), StoreNumber(6)});
  Settle();
  const auto& some = state().FindGroup(GroupId(3))->replicas;
  view_.silence[some[0].store] = view_.silence[some[1].store] = seconds(3000);
  for (const Operation& o : Schedule(state(), view_)) {
    ASSERT_EQ(o.kind, OperationKind::kChangeReplicas);
    size_t silent = 0;
    for (const Replica& r : state().FindGroup(o.group)->replicas) {
      silent += view_.silence.contains(r.store) ? 1 : 0;
    }
    EXPECT_LE(silent * 2, state().FindGroup(o.group)->replicas.size());
  }
}

TEST_F(ClusterTest, ReplicasOfAGroupAreInDifferentZones) {
  Join({StoreNumber(2, "a"), StoreNumber(3, "a"), StoreNumber(4, "b"), StoreNumber(5, "b"),
        StoreNumber(6, "c"), StoreNumber(7, "c")});
  Drain(1);
  Settle();
  for (const auto& [id, group] : state().groups()) {
    if (id == kControllerGroup) continue;
    std::set<std::string> zones;
    for (const Replica& r : group.replicas) {
      zones.insert(state().FindStore(r.store)->labels.at("zone"));
    }
    EXPECT_EQ(zones.size(), group.replicas.size()) << id.value();
  }
}

TEST_F(ClusterTest, AStoreWithMoreCoresGetsMore) {
  Join({StoreNumber(2, "", 4), StoreNumber(3, "", 4), StoreNumber(4, "", 4)});
  Settle();
  auto counts = ReplicaCounts();
  EXPECT_GT(counts[StoreId(2)], 2 * counts[StoreId(1)]);
}

TEST_F(ClusterTest, NoMoreIsUnderWayThanIsSet) {
  Do(SetCommand("moves-at-once", 2));
  Do(SetCommand("replica-changes-at-once", 1));
  SplitInto(40);
  Join({StoreNumber(2), StoreNumber(3), StoreNumber(4), StoreNumber(5)});
  for (int i = 0; i < 300; ++i) {
    size_t moves = 0, changes = 0;
    Open();
    for (const auto& [id, o] : state().operations()) {
      if (!IsOpen(o.phase)) continue;
      (o.kind == OperationKind::kMove ? moves : changes) += 1;
    }
    EXPECT_LE(moves, 2u);
    EXPECT_LE(changes, 1u);
    Step();
  }
  ExpectBalancedShards();
}

}  // namespace
}  // namespace kvd::shardctrler
