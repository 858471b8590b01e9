// Whole simulated clusters that look after themselves.
#include "tests/sim/world.h"

#include "gtest/gtest.h"
#include "tests/shardctrler/commands.h"

namespace kvd::sim {
namespace {

TEST(World, GrowsFromOneStoreToThree) {
  WorldOptions options;
  options.stores = 1;
  options.faults = options.operations = false;
  World world(options);
  ASSERT_EQ(world.state()->groups().size(), 2u);
  world.StartClients(2);
  world.AddStore();
  world.AddStore();
  world.Settle();
  const shardctrler::State& state = *world.state();
  EXPECT_EQ(state.stores().size(), 3u);
  EXPECT_EQ(state.groups().at(GroupId(1)).replicas.size(), 3u);
  EXPECT_EQ(state.groups().size(), 4u);  // one for each core, and the controller
  for (const auto& [id, group] : state.groups()) EXPECT_EQ(group.replicas.size(), 3u) << id.value();
  world.StopClients();
  world.Check();
}

TEST(World, RunsWithoutFaults) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    WorldOptions options;
    options.seed = seed;
    options.faults = false;
    World world(options);
    WorldReport report = world.Run();
    EXPECT_GT(report.operations, 50u);
  }
}

// Of a put at each store: what came of it.
std::vector<client::ResponseItem> PutAtEach(World& world, const std::string& key) {
  size_t waits = 0;
  std::vector<client::ResponseItem> answers;
  for (auto& [id, store] : world.stores()) {
    client::RequestItem item;
    item.mutable_put()->set_key(key);
    item.mutable_put()->set_value("value");
    item.mutable_put()->mutable_header();
    ++waits;
    store->node().dispatcher().Execute(std::move(item), [&](client::ResponseItem answer) {
      answers.push_back(std::move(answer));
    });
  }
  EXPECT_TRUE(world.Await([&] { return answers.size() == waits; }));
  return answers;
}

// The map tells of a move when it is over, and stores hear of that later still. Whoever is asked as
// soon as the shard is frozen, the request waits where the shard arrives and is executed there.
TEST(World, RequestsGoWithAShardThatMoves) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    WorldOptions options;
    options.seed = seed;
    options.faults = options.operations = false;
    options.clients = 0;
    World world(options);
    world.Settle();
    auto [start, shard] = *world.state()->shards().shards().begin();
    // Leaders spread within a while.
    NodeStore* from = nullptr;
    GroupId to;
    ASSERT_TRUE(world.Await(
        [&, group = shard.group] {
          from = world.Leader(group);
          for (const auto& [id, record] : world.state()->groups()) {
            NodeStore* leader = world.Leader(id);
            bool other = from != nullptr && leader != nullptr && leader != from;
            if (id != shardctrler::kControllerGroup && other) to = id;
          }
          return to.value() != 0;
        },
        std::chrono::seconds(120)))
        << "one store leads all groups, seed " << seed;
    auto begun = world.ControlNow(
        shardctrler::OpenCommand(shardctrler::MoveOf(shard.id.value(), to.value())));
    ASSERT_TRUE(begun.ok()) << begun.status();
    ASSERT_TRUE(world.Await([&] {
      const auto& group = from->process().groups->Find(shard.group)->group;
      const auto* here = group->meta().shards.Find(shard.id);
      return here != nullptr && here->state == ShardState::kFrozen;
    }));
    for (const client::ResponseItem& answer : PutAtEach(world, start + "key")) {
      EXPECT_FALSE(answer.has_error()) << answer.error().message() << ", seed " << seed;
      EXPECT_EQ(answer.write().header().group_id(), to.value());
    }
    EXPECT_EQ(world.AwaitOperation(begun->operation), shardctrler::Phase::kDone);
    for (const client::ResponseItem& answer : PutAtEach(world, start + "key"))
      EXPECT_FALSE(answer.has_error()) << answer.error().message() << ", seed " << seed;
    world.Settle();
    world.Check();
  }
}

TEST(World, ASeedReplaysExactly) {
  for (uint64_t seed : {3, 17}) {
    WorldOptions options;
    options.seed = seed;
    std::string first = World(options).Run().ToString();
    EXPECT_EQ(World(options).Run().ToString(), first);
  }
}

// 302032: a state was damaged where only a group to come would read it, so nobody ever said so, and
// the store could have no replica of it. 100590, 1972: twenty outcomes of one key's writes are
// unknown, and one of them is needed.
TEST(World, SeedsThatFailedOnce) {
  for (uint64_t seed : {1972u, 100590u, 302032u}) {
    WorldOptions options;
    options.seed = seed;
    options.stores = 3 + static_cast<int>(seed % 3);  // as world_soak has it
    World(options).Run();
  }
}

// Each follows in groups that others lead, of which each leader lets one replica go at a time: they
// go out one after the other.
TEST(World, TwoDamagedStoresDoNotWaitForEachOther) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    WorldOptions options;
    options.seed = seed;
    options.stores = 5;
    options.faults = options.operations = false;
    World world(options);
    world.StartClients(3);
    ASSERT_TRUE(world.Await([&] { return world.stores().size() == 5 && world.Settled(); },
                            std::chrono::seconds(60)));
    world.Elapse(std::chrono::seconds(5));  // leaders are spread, and all is flushed
    world.StopClients();
    world.Settle();
    Random random(seed);
    for (uint64_t id : {seed % 5, (seed + 1) % 5}) {
      ASSERT_TRUE(world.CanSpare(world.store(id + 1)) || id != seed % 5);
      while (!world.store(id + 1).DamageState(random)) {
      }
    }
    world.VerifyReplicas();
    world.Settle();
    world.Check();
    EXPECT_EQ(world.store(seed % 5 + 1).rebuilds(), 1u);
    EXPECT_EQ(world.store((seed + 1) % 5 + 1).rebuilds(), 1u);
  }
}

class LostStore : public testing::TestWithParam<World::Loss> {};

// Its replicas are replaced, and what was acknowledged is there.
TEST_P(LostStore, IsReplaced) {
  for (uint64_t id = 1; id <= 3; ++id) {
    WorldOptions options;
    options.seed = id;
    options.faults = options.operations = false;
    World world(options);
    world.StartClients(3);
    ASSERT_TRUE(world.Await([&] {
      return world.stores().size() == 3 && world.Settled() && world.CanSpare(world.store(id));
    })) << world.Describe();
    world.LoseDisk(StoreId(id), GetParam());
    EXPECT_TRUE(world.Await(
        [&] {
          const shardctrler::State* known = world.state();
          return known != nullptr && !known->HoldsReplica(StoreId(id)) &&
                 world.StoresThere() == 3 && world.Settled();
        },
        std::chrono::seconds(60)))
        << world.Describe();
    const shardctrler::State& state = *world.state();
    bool forgotten = GetParam() == World::Loss::kForgotten;
    EXPECT_EQ(state.FindStore(StoreId(id))->state == shardctrler::StoreState::kGone, !forgotten);
    for (const auto& [group, record] : state.groups()) EXPECT_EQ(record.replicas.size(), 3u);
    world.StopClients();
    world.Settle();
    world.VerifyReplicas();
    world.Check();
  }
}

INSTANTIATE_TEST_SUITE_P(Any, LostStore,
                         testing::Values(World::Loss::kBack, World::Loss::kBackKnowing,
                                         World::Loss::kGivenUp, World::Loss::kForgotten));

}  // namespace
}  // namespace kvd::sim
