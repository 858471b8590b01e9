// The lineage's scenarios of the sharded service under load (MIT 6.824), by name: clients write and
// read while stores join, leave and restart and shards are split and moved; each history is checked
// for linearizability, and the controller's map against what the groups serve.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/scenario_world.h"

namespace kvd::sim {
namespace {

using shardctrler::MoveOf;
using shardctrler::OpenCommand;
using shardctrler::OperationKind;
using shardctrler::StateCommand;
using shardctrler::StoreState;
using std::chrono::seconds;

// Of the workload's keys: one or two to a shard.
const std::vector<std::string>& Cuts() {
  static const std::vector<std::string> cuts = {"k1", "k2", "k3", "k4", "n0", "n2", "n3"};
  return cuts;
}

uint64_t OperationsOf(World& world) {
  uint64_t operations = 0;
  for (auto& client : world.clients()) operations += client->operations();
  return operations;
}

TEST(ShardedService, JoinAndLeave) {
  ScenarioWorld world(1, 3);
  world.SplitAt(Cuts());
  world.StartClients(2);
  ASSERT_TRUE(world.Fill("x", 10).ok());
  world.AddStore();
  world.Settle();
  EXPECT_EQ(world.ShardCounts().size(), 4u) << "a group more";
  for (const auto& [group, shards] : world.ShardCounts()) EXPECT_EQ(shards, 2u) << group.value();
  world.Drain(1);
  world.Settle();
  EXPECT_TRUE(world.store(1).node().groups().all().empty());
  world.Finish();
  // Without the one that left all is there.
  world.Crash({1});
  EXPECT_TRUE(world.ReadFilled("x", 10).ok());
}

TEST(ShardedService, ManyJoinsAndLeaves) {
  for (uint64_t seed : {1, 2, 3, 30}) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(seed, 3);
    world.SplitAt(Cuts());
    world.StartClients(3);
    // One comes, one goes, until none of the first is left, and most of the next ones neither.
    for (uint64_t leaves = 1; leaves <= 6; ++leaves) {
      world.AddStore();
      world.Elapse(milliseconds(500));
      world.Drain(leaves);
      if (leaves % 2 == 0) world.Settle();
    }
    world.Finish();
    for (uint64_t left = 1; left <= 6; ++left)
      EXPECT_FALSE(world.state()->HoldsReplica(StoreId(left))) << left;
    EXPECT_GT(OperationsOf(world), 200u);
  }
}

struct Kind {
  int clients = 3;
  bool unreliable = false;
  bool stores_change = false;  // they join and leave, and are down meanwhile
  bool restarts = false;       // all of them, again and again
  int rounds = 10;
};

void MoveSomething(ScenarioWorld& world, Random& random) {
  const shardctrler::State* known = world.state();
  if (known == nullptr) return;
  auto shard = std::next(known->shards().shards().begin(),
                         static_cast<ptrdiff_t>(random.Below(known->shards().size())));
  uint64_t group = random.Between(2, known->groups().size());
  world.Control(OpenCommand(MoveOf(shard->second.id.value(), group)));
}

// How many operations of clients that were.
uint64_t RunService(uint64_t seed, const Kind& kind) {
  SCOPED_TRACE(seed);
  ScenarioWorld world(seed, 4);
  world.HoldShards();
  world.SplitAt(Cuts());
  size_t moved = world.Finished(OperationKind::kMove);
  if (kind.unreliable) {
    world.network().faults.loss = 0.1;
    world.network().faults.duplication = 0.1;
    world.network().faults.late_chance = 0.1;
    world.network().faults.late_max = milliseconds(200);
  }
  world.StartClients(kind.clients);
  Random random(seed);
  for (int round = 0; round < kind.rounds; ++round) {
    for (int i = 0; i < 3; ++i) {
      MoveSomething(world, random);
      world.Elapse(milliseconds(random.Between(20, 300)));
    }
    if (kind.stores_change) {
      uint64_t one = random.Between(1, 4);
      if (round % 4 == 0) world.AddStore();
      world.Control(
          StateCommand(one, round % 2 == 0 ? StoreState::kDraining : StoreState::kServing));
      world.Crash({random.Between(1, 4)});
      world.Elapse(milliseconds(random.Between(100, 800)));
      world.StartAll();
    }
    if (kind.restarts) {
      for (auto& [id, store] : world.stores()) {
        if (store->running()) store->Crash();
      }
      world.StartAll();
      world.Elapse(milliseconds(random.Between(500, 1500)));
    }
  }
  world.Finish();
  EXPECT_GT(world.Finished(OperationKind::kMove), moved + 3);
  return OperationsOf(world);
}

void RunSeeds(const Kind& kind) {
  uint64_t operations = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) operations += RunService(seed, kind);
  EXPECT_GE(operations, 50u * static_cast<uint64_t>(kind.clients));
}

// Shards move under several clients.
TEST(ShardedService, Concurrent1) { RunSeeds({.clients = 5}); }
// Stores join, leave and are down meanwhile.
TEST(ShardedService, Concurrent2) { RunSeeds({.clients = 5, .stores_change = true}); }
// All stores restart in the midst of moves, again and again.
TEST(ShardedService, Concurrent3) { RunSeeds({.clients = 5, .restarts = true}); }
// One client, messages lost, doubled and late.
TEST(ShardedService, Unreliable1) { RunSeeds({.clients = 1, .unreliable = true, .rounds = 20}); }
// Several clients, and stores that join, leave and are down meanwhile.
TEST(ShardedService, Unreliable2) {
  RunSeeds({.clients = 5, .unreliable = true, .stores_change = true});
}
// Several clients on few keys, with restarts: what they saw is linearizable.
TEST(ShardedService, Unreliable3) {
  RunSeeds({.clients = 7, .unreliable = true, .stores_change = true, .restarts = true});
}

}  // namespace
}  // namespace kvd::sim
