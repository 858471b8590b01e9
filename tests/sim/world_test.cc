// Whole simulated clusters that look after themselves.
#include "tests/sim/world.h"

#include "gtest/gtest.h"

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

}  // namespace
}  // namespace kvd::sim
