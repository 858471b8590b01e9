// Faults in the midst of a move: its groups lose leader or majority at each step, the controller is
// out of reach, disks are full, clocks are apart. Each move ends done or cancelled, and no key is
// lost.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/scenario_world.h"

namespace kvd::sim {
namespace {

using shardctrler::AdvanceCommand;
using shardctrler::IsOpen;
using shardctrler::kControllerGroup;
using shardctrler::MoveOf;
using shardctrler::Phase;
using std::chrono::seconds;
using testing::HasSubstr;

// The controller on stores 1, 2 and 3; group 2 on 4, 5 and 6, group 3 on 7, 8 and 9.
Layout Apart(uint64_t seed) {
  return {.seed = seed, .stores = 9, .groups = {{4, 5, 6}, {7, 8, 9}}, .cuts = {"m"}};
}

GroupId Other(GroupId group) { return group == GroupId(2) ? GroupId(3) : GroupId(2); }

// Moves a shard there and back, again and again; in each phase, a little later each time, its
// source or its target is harmed, for a while.
void HarmAtEachStep(uint64_t seed, bool source, bool majority) {
  SCOPED_TRACE(absl::StrCat("seed ", seed, source ? " source" : " target"));
  ScenarioWorld world(Apart(seed));
  ASSERT_TRUE(world.Fill("a", 20).ok() && world.Fill("p", 5).ok());
  world.StartClients(2);
  int interrupted = 0;
  for (Phase phase : {Phase::kRunning, Phase::kForward, Phase::kPublished}) {
    for (int after : {0, 1, 2, 4, 8, 16}) {
      GroupId from = world.OwnerOf("a");
      OperationId id = world.Begin(MoveOf(world.ShardAt("a").value(), Other(from).value()));
      ASSERT_TRUE(world.AwaitPhase(id, phase));
      world.Elapse(milliseconds(after));
      interrupted += IsOpen(world.state()->FindOperation(id)->phase) ? 1 : 0;
      GroupId harmed = source ? from : Other(from);
      std::vector<uint64_t> victims = {world.Leader(harmed)->id().value()};
      if (majority) victims.push_back(victims[0] % 3 == 0 ? victims[0] - 2 : victims[0] + 1);
      world.Crash(victims);
      // With a majority it goes on while that store is down.
      if (majority) {
        world.Elapse(seconds(2));
        world.StartAll();
      }
      EXPECT_EQ(world.AwaitOperation(id, kLongMove), Phase::kDone)
          << static_cast<int>(phase) << " " << after;
      EXPECT_EQ(world.OwnerOf("a"), Other(from));
      world.StartAll();
      ASSERT_TRUE(world.ReadFilled("a", 20).ok());
    }
  }
  EXPECT_GE(interrupted, 12);
  world.Finish();
}

TEST(MoveUnderFaults, TheSourceLosesItsLeaderAtEachStep) {
  for (uint64_t seed = 1; seed <= 3; ++seed) HarmAtEachStep(seed, true, false);
}
TEST(MoveUnderFaults, TheTargetLosesItsLeaderAtEachStep) {
  for (uint64_t seed = 1; seed <= 3; ++seed) HarmAtEachStep(seed, false, false);
}
TEST(MoveUnderFaults, TheSourceLosesItsMajorityAtEachStep) {
  for (uint64_t seed = 1; seed <= 3; ++seed) HarmAtEachStep(seed, true, true);
}
TEST(MoveUnderFaults, TheTargetLosesItsMajorityAtEachStep) {
  for (uint64_t seed = 1; seed <= 3; ++seed) HarmAtEachStep(seed, false, true);
}

// Without its target for good, a move is cancelled by hand, and its source serves as before.
TEST(MoveUnderFaults, AMoveToAGroupWithoutMajorityIsCancelled) {
  ScenarioWorld world(Apart(5));
  ASSERT_TRUE(world.Fill("a", 20).ok());
  world.Crash({7, 8});
  OperationId id = world.Begin(MoveOf(world.ShardAt("a").value(), 3));
  EXPECT_TRUE(world.Await([&] { return !world.Trouble(id).empty(); }));
  EXPECT_TRUE(world.asker().Put("a5", "of a5", seconds(2)).ok()) << "it serves meanwhile";
  world.Do(AdvanceCommand(id, Phase::kRunning, Phase::kCancelling));
  world.Elapse(seconds(5));
  EXPECT_EQ(world.state()->FindOperation(id)->phase, Phase::kCancelling)
      << "until the target has given up what came";
  EXPECT_TRUE(world.ReadFilled("a", 20).ok());
  world.StartAll();
  EXPECT_EQ(world.AwaitOperation(id), Phase::kCancelled);
  EXPECT_EQ(world.OwnerOf("a"), GroupId(2));
  EXPECT_TRUE(world.Carry(MoveOf(world.ShardAt("a").value(), 3))) << "it can be asked for again";
  EXPECT_TRUE(world.ReadFilled("a", 20).ok());
  world.Finish();
}

// Data stays, changes wait.
TEST(ControllerUnderFaults, WithoutItsMajorityDataIsServedAndChangesAreNot) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(Apart(seed));
    ASSERT_TRUE(world.Fill("a", 5).ok() && world.Fill("p", 5).ok());
    world.Crash({1, 2});
    world.Elapse(seconds(10));
    auto fresh = world.NewAsker();
    for (const char* key : {"a1", "p1"}) {
      EXPECT_TRUE(fresh->Get(key, seconds(2)).ok()) << key;
      EXPECT_TRUE(fresh->Put(absl::StrCat(key, "x"), "x", seconds(2)).ok()) << key;
    }
    EXPECT_EQ(world.ControlNow(shardctrler::OpenCommand(MoveOf(1, 3))).status().code(),
              absl::StatusCode::kUnavailable);
    // Stores of its groups restart meanwhile: what they knew of others is on their disks, and what
    // their groups serve they know by themselves.
    for (uint64_t down = 4; down <= 9; ++down) {
      world.Crash({down});
      world.Elapse(seconds(2));
      world.store(down).Start();
      fresh = world.NewAsker();
      for (const char* key : {"a1", "p1"}) {
        auto got = fresh->Get(key, seconds(5));
        EXPECT_TRUE(got.ok()) << key << " " << down << " " << got.status();
      }
    }
    world.StartAll();
    EXPECT_TRUE(world.Carry(MoveOf(world.ShardAt("a").value(), 3)));
    world.Finish();
  }
}

// What was begun before goes on once it reaches the groups again.
TEST(ControllerUnderFaults, CutOffFromTheGroupsDataIsServedAndItHeals) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(Apart(seed));
    ASSERT_TRUE(world.Fill("a", 20).ok() && world.Fill("p", 5).ok());
    OperationId before = world.Begin(MoveOf(world.ShardAt("a").value(), 3));
    world.CutBetween({1, 2, 3}, {4, 5, 6, 7, 8, 9});
    OperationId meanwhile = world.Begin(MoveOf(world.ShardAt("n").value(), 2));
    world.Elapse(seconds(10));
    EXPECT_TRUE(IsOpen(world.state()->FindOperation(meanwhile)->phase));
    EXPECT_NE(world.Trouble(meanwhile), "");
    EXPECT_TRUE(world.ReadFilled("a", 20).ok() && world.ReadFilled("p", 5).ok());
    EXPECT_TRUE(world.asker().Put("a1", "of a1", seconds(2)).ok());
    world.network().MendAll();
    EXPECT_EQ(world.AwaitOperation(before), Phase::kDone);
    EXPECT_EQ(world.AwaitOperation(meanwhile), Phase::kDone);
    EXPECT_TRUE(world.ReadFilled("a", 20).ok() && world.ReadFilled("p", 5).ok());
    world.Finish();
  }
}

// Nothing but expiry goes by wall clocks: with half of the stores a minute ahead or behind, shards
// move under clients, and no history is wrong.
TEST(ClocksApart, ByAMinuteMovesAndHistoriesAreRight) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(Apart(seed));
    for (auto& [id, store] : world.stores())
      store->process().loop->set_wall_offset_ms(id.value() % 2 == 0 ? 60'000 : -60'000);
    ASSERT_TRUE(world.Fill("a", 20).ok());
    world.StartClients(3);
    for (int i = 0; i < 6; ++i) {
      GroupId to = Other(world.OwnerOf("a"));
      EXPECT_TRUE(world.Carry(MoveOf(world.ShardAt("a").value(), to.value())));
      world.Elapse(milliseconds(300));
    }
    // A jump by two minutes in the midst of it all.
    for (auto& [id, store] : world.stores())
      store->process().loop->set_wall_offset_ms(id.value() % 2 == 0 ? -60'000 : 60'000);
    EXPECT_TRUE(world.Carry(MoveOf(world.ShardAt("n").value(), 2)));
    EXPECT_TRUE(world.ReadFilled("a", 20).ok());
    world.Finish();
  }
}

}  // namespace
}  // namespace kvd::sim
