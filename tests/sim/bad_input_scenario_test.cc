// What operators and stores ask for that can't be: refused or waited out safely, each with one line
// that says why. And a disk that is full, or slow.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/error.h"
#include "tests/sim/scenario_world.h"

namespace kvd::sim {
namespace {

using internal::v1::StoreRequest;
using shardctrler::AdvanceCommand;
using shardctrler::IsOpen;
using shardctrler::kControllerGroup;
using shardctrler::MoveOf;
using shardctrler::OpenCommand;
using shardctrler::Phase;
using shardctrler::SplitOf;
using shardctrler::StateCommand;
using shardctrler::StoreState;
using std::chrono::seconds;
using testing::HasSubstr;

std::string Line(const absl::Status& status) { return std::string(status.message()); }

// The controller on stores 1, 2 and 3; group 2 on 4, 5 and 6, group 3 on 7, 8 and 9.
Layout Apart(uint64_t seed) {
  return {.seed = seed, .stores = 9, .groups = {{4, 5, 6}, {7, 8, 9}}, .cuts = {"m"}};
}

StoreRequest JoinAt(const std::string& address, uint64_t nonce) {
  StoreRequest request;
  request.mutable_join()->set_address(address);
  request.mutable_join()->set_join_nonce(nonce);
  request.mutable_join()->set_cores(4);
  return request;
}

// A store with the data directory of another cluster says so in whatever it asks for.
TEST(BadInput, AStoreOfAnotherClusterIsRefused) {
  ScenarioWorld world(Layout{.seed = 1});
  StoreRequest join = JoinAt("elsewhere:1", 99);
  StoreRequest report;
  report.mutable_report()->set_store_id(2);
  for (StoreRequest request : {join, report}) {
    request.set_cluster_id(kCluster.value() + 1);
    absl::Status refused = world.Tell(*world.Leader(), request).status();
    EXPECT_EQ(InfoOf(refused).kind, ErrorKind::kWrongCluster) << refused;
    EXPECT_EQ(Line(refused), "this store belongs to cluster 77, not to 78");
  }
  EXPECT_EQ(world.state()->stores().size(), 3u);
}

TEST(BadInput, AnAddressOfALiveStoreIsRefused) {
  ScenarioWorld world(Layout{.seed = 2});
  std::string address = world.state()->FindStore(StoreId(2))->address;
  absl::Status refused = world.Tell(*world.Leader(), JoinAt(address, 99)).status();
  EXPECT_TRUE(absl::IsAlreadyExists(refused)) << refused;
  EXPECT_THAT(Line(refused),
              HasSubstr(absl::StrCat("address \"", address,
                                     "\" is that of store 2, which was heard from")));
  EXPECT_EQ(world.state()->FindStore(StoreId(2))->state, StoreState::kServing);
  EXPECT_EQ(world.state()->stores().size(), 3u);
  world.Finish();
}

TEST(BadInput, ASplitOfAShardThatMovesIsRefusedAndTheMoveGoesOn) {
  ScenarioWorld world(Layout{.seed = 3});
  ASSERT_TRUE(world.Fill("a", 20).ok());
  uint64_t shard = world.ShardAt("a").value();
  OperationId move = world.Begin(MoveOf(shard, 3));
  for (Phase phase : {Phase::kRunning, Phase::kForward, Phase::kPublished}) {
    ASSERT_TRUE(world.AwaitPhase(move, phase));
    EXPECT_EQ(world.Refused(OpenCommand(SplitOf(shard, "c"))),
              absl::StrCat("operation ", move.value(), " (move) is under way on shard ", shard));
  }
  EXPECT_EQ(world.AwaitOperation(move), Phase::kDone);
  EXPECT_TRUE(world.Carry(SplitOf(shard, "c"))) << "now it can be";
  EXPECT_TRUE(world.ReadFilled("a", 20).ok());
  world.Finish();
}

TEST(BadInput, OfTwoOperatorsWithOppositeMovesOneIsRefused) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    ScenarioWorld world(Layout{.seed = seed, .groups = {{1, 2, 3}, {1, 2, 3}, {1, 2, 3}}});
    ASSERT_TRUE(world.Fill("a", 20).ok());
    uint64_t shard = world.ShardAt("a").value();
    std::vector<absl::StatusOr<shardctrler::Result>> answers;
    for (uint64_t to : {3, 4})
      world.Control(OpenCommand(MoveOf(shard, to)),
                    [&](const auto& answer) { answers.push_back(answer); });
    ASSERT_TRUE(world.Await([&] { return answers.size() == 2; }));
    ASSERT_NE(answers[0].ok(), answers[1].ok());
    const auto& first = answers[0].ok() ? answers[0] : answers[1];
    const auto& second = answers[0].ok() ? answers[1] : answers[0];
    EXPECT_EQ(InfoOf(second.status()).kind, ErrorKind::kConflict);
    EXPECT_EQ(Line(second.status()), absl::StrCat("operation ", first->operation.value(),
                                                  " (move) is under way on shard ", shard));
    EXPECT_EQ(world.AwaitOperation(first->operation), Phase::kDone);
    // Back again is refused until it is there, and then carried out.
    EXPECT_TRUE(world.Carry(MoveOf(shard, 2)));
    EXPECT_EQ(world.Refused(OpenCommand(MoveOf(shard, 2))),
              absl::StrCat("shard ", shard, " is in group 2 already"));
    EXPECT_TRUE(world.ReadFilled("a", 20).ok());
    world.Finish();
  }
}

TEST(BadInput, TheDrainOfTheLastStoreIsRefused) {
  ScenarioWorld world(4, 3);
  ASSERT_TRUE(world.Fill("a", 5).ok());
  world.Do(StateCommand(1, StoreState::kDraining));
  world.Do(StateCommand(2, StoreState::kDraining));
  for (StoreState state : {StoreState::kDraining, StoreState::kGone}) {
    EXPECT_EQ(world.Refused(StateCommand(3, state)),
              "store 3 is the last one that serves: what it has could go nowhere");
  }
  world.Settle();
  EXPECT_TRUE(world.ReadFilled("a", 5).ok());
  EXPECT_EQ(world.Refused(StateCommand(1, StoreState::kServing)), "");
  world.Finish();
}

void SetFree(ScenarioWorld& world, GroupId group, uint64_t bytes) {
  for (uint64_t id : world.StoresOf(group)) world.store(id).disk().SetFreeBytes(bytes);
  world.Elapse(seconds(1));
}

// It does not come to the freeze: the source serves on, whoever asks is told why it waits, and it
// goes on once there is room, or is taken back.
TEST(FullDisk, OfTheTargetAMoveWaitsOrIsCancelled) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(Apart(seed));
    ASSERT_TRUE(world.Fill("a", 20).ok());
    SetFree(world, GroupId(3), 250'000);
    OperationId id = world.Begin(MoveOf(world.ShardAt("a").value(), 3));
    EXPECT_TRUE(world.Await([&] { return !world.Trouble(id).empty(); }));
    EXPECT_THAT(world.Trouble(id), HasSubstr("disk"));
    world.Elapse(seconds(5));
    EXPECT_EQ(world.state()->FindOperation(id)->phase, Phase::kRunning);
    EXPECT_TRUE(world.asker().Put("a5", "of a5", seconds(2)).ok()) << "its source serves";
    bool cancel = seed % 2 == 0;
    if (cancel) {
      world.Do(AdvanceCommand(id, Phase::kRunning, Phase::kCancelling));
      EXPECT_EQ(world.AwaitOperation(id), Phase::kCancelled) << world.Trouble(id);
    }
    SetFree(world, GroupId(3), SimDisk::kBytes);
    EXPECT_EQ(world.AwaitOperation(id), cancel ? Phase::kCancelled : Phase::kDone)
        << world.Trouble(id);
    EXPECT_EQ(world.OwnerOf("a"), GroupId(cancel ? 2 : 3));
    EXPECT_TRUE(world.ReadFilled("a", 20).ok());
    world.Finish();
  }
}

// It fills up in each phase, a little later each time; with room again the move ends, and nothing
// is lost.
TEST(FullDisk, OfTheTargetInAnyPhaseTheMoveEndsOnceThereIsRoom) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(Apart(seed));
    ASSERT_TRUE(world.Fill("a", 20).ok());
    world.StartClients(2);
    for (Phase phase : {Phase::kRunning, Phase::kForward, Phase::kPublished}) {
      for (int after : {0, 2, 5}) {
        GroupId to = world.OwnerOf("a") == GroupId(2) ? GroupId(3) : GroupId(2);
        OperationId id = world.Begin(MoveOf(world.ShardAt("a").value(), to.value()));
        ASSERT_TRUE(world.AwaitPhase(id, phase));
        world.Elapse(milliseconds(after));
        SetFree(world, to, 250'000);
        world.Elapse(seconds(3));
        SetFree(world, to, SimDisk::kBytes);
        EXPECT_EQ(world.AwaitOperation(id), Phase::kDone) << world.Trouble(id);
        EXPECT_TRUE(world.ReadFilled("a", 20).ok());
      }
    }
    world.Finish();
  }
}

// It is slow beside the others for seconds: it leads nothing any more, and as much as the others
// again once it is well.
TEST(SlowDisk, AStoreThatIsSlowLosesItsLeadershipsAndGetsThemBack) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(seed, 4);
    world.SplitAt({"k2", "k4", "n0", "n3"});
    world.Settle();
    world.StartClients(4);
    // Only what is not the controller's comes back by itself.
    auto leads = [&](NodeStore& store) {
      return world.Leads(store) - (world.Leader() == &store ? 1 : 0);
    };
    NodeStore* slow = nullptr;
    ASSERT_TRUE(world.Await([&] {
      for (auto& [id, store] : world.stores()) {
        if (leads(*store) >= 1) slow = store.get();
      }
      return slow != nullptr;
    }));
    slow->SlowDisk(milliseconds(200));
    EXPECT_TRUE(world.Await([&] { return world.Leads(*slow) == 0; }, seconds(10)))
        << world.Describe();
    EXPECT_TRUE(world.Await([&] { return world.state() != nullptr; }));
    EXPECT_THAT(world.Leader()->node().controller()->load().WhySlow(slow->id()),
                HasSubstr("its log's syncs take"));
    world.Elapse(seconds(20));
    EXPECT_EQ(world.Leads(*slow), 0u) << "it stays so";
    slow->SlowDisk(Duration::zero());
    EXPECT_TRUE(world.Await([&] { return leads(*slow) >= 1; }, seconds(30))) << world.Describe();
    world.Finish();
  }
}

}  // namespace
}  // namespace kvd::sim
