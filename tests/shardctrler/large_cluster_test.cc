// The controller of a thousand stores, eight thousand groups and a million shards: what it does
// when a zone is lost and when stores join, beside the least that there is to do.
#include "tests/shardctrler/large_cluster.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "gtest/gtest.h"
#include "shardctrler/sizing.h"

namespace kvd::shardctrler {
namespace {

void Print(const char* what, const Effort& effort) {
  std::printf("%s: %s\n", what, effort.ToString().c_str());
}

// What all shards take and are asked, so that a group with so much more than another would give.
double WeightOf(const LargeCluster& cluster, GroupId id) {
  return static_cast<double>(cluster.state().shards().Of(id).size()) +
         shardctrler::WeightOf(cluster.load().Of(id));
}

struct Spread {
  double least = 1e300;
  double most = 0;
  double all = 0;
  void Add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
    all += value;
  }
};

Spread WeightsOf(const LargeCluster& cluster) {
  Spread spread;
  for (const auto& [id, group] : cluster.state().groups()) {
    if (id != kControllerGroup) spread.Add(WeightOf(cluster, id));
  }
  return spread;
}

// Each group has all its replicas, in three zones at least, none on a store that is lost.
void ExpectRepaired(const LargeCluster& cluster, const std::set<StoreId>& lost) {
  for (const auto& [id, group] : cluster.state().groups()) {
    std::set<std::string> zones;
    for (const Replica& r : group.replicas) {
      EXPECT_FALSE(lost.contains(r.store)) << id.value();
      zones.insert(cluster.state().FindStore(r.store)->labels.at("zone"));
    }
    EXPECT_GE(zones.size(), 3u) << id.value();
    EXPECT_EQ(group.replicas.size(), id == kControllerGroup ? 5u : 3u);
  }
}

// Stores of the same size, but those that are lost, have the same number of replicas.
void ExpectEvenReplicas(const LargeCluster& cluster, const std::set<StoreId>& lost) {
  Spread spread;
  for (const auto& [id, count] : cluster.ReplicaCounts()) {
    if (!lost.contains(id)) spread.Add(static_cast<double>(count));
  }
  EXPECT_LE(spread.most, spread.least + 1);
}

TEST(LargeCluster, LosesAZoneAndGrows) {
  LargeCluster cluster((LargeOptions()));
  std::printf("memory: state %.0f MB, loads %.0f MB\n",
              static_cast<double>(cluster.state_bytes()) / 1e6,
              static_cast<double>(cluster.load_bytes()) / 1e6);
  Effort rest = cluster.Settle();
  Print("at rest", rest);
  EXPECT_EQ(rest.replicas + rest.moves + rest.others, 0u);

  std::set<StoreId> lost = cluster.Lose(0);
  uint64_t lost_replicas = 0, lost_bytes = 0;
  for (StoreId id : lost) {
    lost_replicas += cluster.state().group_table().On(id).size();
    lost_bytes += cluster.BytesOn(id);
  }
  Effort repair = cluster.Settle();
  Print("a zone is lost", repair);
  EXPECT_EQ(repair.replicas, lost_replicas)
      << "each that was lost is replaced once, no other moves";
  EXPECT_EQ(repair.replica_bytes, lost_bytes);
  EXPECT_EQ(repair.moves + repair.others, 0u) << "no shard moves for it";
  ExpectRepaired(cluster, lost);
  ExpectEvenReplicas(cluster, lost);

  cluster.Join(0, lost.size());
  Effort refill = cluster.Settle();
  Print("as many stores join", refill);
  uint64_t share = cluster.Replicas() / (cluster.state().stores().size() - lost.size());
  EXPECT_LE(refill.replicas, (share + 1) * lost.size())
      << "the new ones get theirs, no other moves";
  EXPECT_EQ(refill.moves + refill.others, 0u);
  ExpectRepaired(cluster, lost);
  ExpectEvenReplicas(cluster, lost);

  size_t groups = cluster.state().groups().size();
  cluster.Join(1, 20);
  Effort growth = cluster.Settle();
  Print("2 % more stores join", growth);
  size_t more = cluster.state().groups().size() - groups;
  EXPECT_EQ(more, 160u) << "for the cores of twenty stores";
  EXPECT_EQ(growth.others, more);
  ExpectEvenReplicas(cluster, lost);
  // Each shard that moves is one that a new group gets.
  uint64_t got = 0;
  auto is_new = cluster.state().groups().rbegin();
  for (size_t i = 0; i < more; ++i, ++is_new)
    got += cluster.state().shards().Of(is_new->first).size();
  EXPECT_EQ(growth.moves, got);
  EXPECT_EQ(growth.moved_again, 0u);
  Spread weights = WeightsOf(cluster);
  double mean = weights.all / static_cast<double>(cluster.state().groups().size() - 1);
  EXPECT_LE(weights.most - weights.least, mean / 10);
}

// More pairs than one look sees, each in two groups, and few moves at once: all are merged.
TEST(LargeCluster, EveryPairThatCanBeMergedIs) {
  LargeOptions options;
  options.stores = 8;
  options.groups = 64;
  options.shards = 12'000;
  options.moves_at_once = 50;
  options.shard_bytes = 1 << 20;
  LargeCluster cluster(options);
  Effort effort = cluster.Settle();
  Print("small shards", effort);
  SizeLimits limits = LimitsFor(cluster.state(), cluster.load());
  const auto& shards = cluster.state().shards().shards();
  EXPECT_GT(shards.size(), 4 * options.groups);
  for (auto left = shards.begin(), right = std::next(left); right != shards.end();
       ++left, ++right) {
    uint64_t bytes =
        cluster.load().Find(left->second.id)->bytes + cluster.load().Find(right->second.id)->bytes;
    ASSERT_GT(4 * bytes, limits.bytes) << left->first;
  }
}

// While all is as it was, nothing is looked at; and one shard's load does not have all looked at
// again and again.
TEST(LargeCluster, NothingIsLookedAtTwice) {
  LargeOptions options;
  options.stores = 40;
  options.groups = 320;
  options.shards = 40'000;
  LargeCluster cluster(options);
  Effort effort;
  for (int i = 0; i < 20; ++i) cluster.Turn(&effort);
  uint64_t spared = cluster.planner().spared();
  for (int i = 0; i < 100; ++i) cluster.Turn(&effort);
  EXPECT_EQ(cluster.planner().spared(), spared + 200) << "neither replicas nor shards";
  ShardReport busier = *cluster.load().Find(ShardId(77));
  busier.reads += 100;
  cluster.load().Note(ShardId(77), busier);
  for (int i = 0; i < 100; ++i) cluster.Turn(&effort);
  EXPECT_GE(cluster.planner().spared(), spared + 200 + 180)
      << "replicas have nothing to do with it";
  EXPECT_EQ(effort.replicas + effort.moves + effort.others, 0u);
}

}  // namespace
}  // namespace kvd::shardctrler
