// The controller's state machine: what each command changes, and what it refuses and why.
#include "shardctrler/machine.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/shardctrler/commands.h"
#include "tests/shardctrler/lone_controller.h"

namespace kvd::shardctrler {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

// Three stores, the controller's group and three data groups, one on each; the first owns all keys.
class MachineTest : public testing::Test {
 protected:
  void SetUp() override {
    Do(BootstrapCommand());
    Do(JoinCommand({StoreNumber(2), StoreNumber(3)}));
    Carry(OperationId(1));
    Begin(GroupOn({2}), true);
    Begin(GroupOn({3}), true);
  }

  Result Do(const Command& command) {
    auto result = controller_.Apply(command);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(Result());
  }
  // Why it is refused; and then nothing has changed.
  std::string Refused(const Command& command) {
    Ids ids = state().ids();
    size_t operations = state().operations().size();
    auto result = controller_.Apply(command);
    EXPECT_FALSE(result.ok());
    EXPECT_EQ(state().ids(), ids);
    EXPECT_EQ(state().operations().size(), operations);
    return std::string(result.status().message());
  }
  OperationId Begin(Operation operation, bool carry = false) {
    OperationId id = Do(OpenCommand(std::move(operation))).operation;
    if (carry) Carry(id);
    return id;
  }
  // To its end.
  void Carry(OperationId id) {
    while (IsOpen(state().FindOperation(id)->phase)) Step(id);
  }
  void Step(OperationId id) {
    const Operation& o = *state().FindOperation(id);
    Do(AdvanceCommand(id, o.phase, NextOf(o)));
  }
  void Cancel(OperationId id) { Do(AdvanceCommand(id, Phase::kRunning, Phase::kCancelling)); }

  const State& state() const { return controller_.state(); }
  // Start key, shard, epoch and group of each.
  std::vector<std::string> Map() const { return Describe(state().shards()); }
  static std::vector<std::string> Describe(const ShardMap& map) {
    std::vector<std::string> out;
    for (const auto& [start, s] : map.shards()) {
      out.push_back(
          absl::StrCat(start, " s", s.id.value(), " e", s.epoch.value(), " g", s.group.value()));
    }
    return out;
  }

  LoneController controller_;
};

TEST_F(MachineTest, BeginsWithOneStoreThatOwnsAllKeys) {
  LoneController fresh;
  EXPECT_THAT(std::string(fresh.Apply(JoinCommand({StoreNumber(2)})).status().message()),
              HasSubstr("not bootstrapped yet"));
  auto result = fresh.Apply(BootstrapCommand());
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->stores, ElementsAre(StoreId(1)));
  EXPECT_EQ(result->config, ConfigNumber(1));
  EXPECT_THAT(Describe(fresh.state().shards()), ElementsAre(" s1 e1 g2"));
  EXPECT_EQ(fresh.state().FindGroup(GroupId(2))->state, GroupState::kCreating);
  EXPECT_EQ(fresh.state().open_operations(), 1u);
  EXPECT_THAT(std::string(fresh.Apply(BootstrapCommand()).status().message()),
              HasSubstr("bootstrapped already"));
  EXPECT_THAT(std::string(fresh.Apply(OpenCommand(SplitOf(1, "m"))).status().message()),
              EndsWith("(create-group) is under way on shard 1"));
}

TEST_F(MachineTest, AJoinThatIsAskedAgainGivesTheSameIds) {
  EXPECT_THAT(Do(JoinCommand({StoreNumber(2), StoreNumber(4)})).stores,
              ElementsAre(StoreId(2), StoreId(4)));
  EXPECT_THAT(Do(JoinCommand({StoreNumber(4)})).stores, ElementsAre(StoreId(4)));
}

TEST_F(MachineTest, AnAddressIsOneStores) {
  JoiningStore again = StoreNumber(2);
  again.nonce = 5;
  EXPECT_THAT(Do(JoinCommand({again})).stores, ElementsAre(StoreId(4)));
  EXPECT_EQ(state().FindStore(StoreId(2))->state, StoreState::kGone);
  // Who was replaced is not let in again.
  EXPECT_THAT(Refused(JoinCommand({StoreNumber(2)})), HasSubstr("store 2 was removed"));
  JoiningStore twice = StoreNumber(7);
  twice.nonce = 6;
  EXPECT_THAT(Refused(JoinCommand({StoreNumber(7), twice})), HasSubstr("are the same one"));
  Command update = JoinCommand({StoreNumber(3)});
  update.kind = CommandKind::kUpdateStore;
  update.store = StoreId(1);
  EXPECT_THAT(Refused(update), HasSubstr("address \"10.0.0.3:7480\" is that of store 3"));
  update.joining = {StoreNumber(9, "west", 16)};
  Do(update);
  EXPECT_EQ(state().FindStore(StoreId(1))->address, "10.0.0.9:7480");
  EXPECT_EQ(state().FindStore(StoreId(1))->nonce, 1001u);
}

TEST_F(MachineTest, AStoreThatLostItsDiskTakesItsOwnPlace) {
  JoiningStore again = StoreNumber(8);
  again.lost = StoreId(3);
  EXPECT_THAT(Do(JoinCommand({again})).stores, ElementsAre(StoreId(4)));
  EXPECT_EQ(state().FindStore(StoreId(3))->state, StoreState::kGone);
  // It asks again, since the answer was lost.
  EXPECT_THAT(Do(JoinCommand({again})).stores, ElementsAre(StoreId(4)));
}

TEST_F(MachineTest, AStoreIsDrainedAndThenGivenUp) {
  EXPECT_THAT(Refused(StateCommand(9, StoreState::kDraining)), HasSubstr("store 9 is not known"));
  EXPECT_THAT(Refused(StateCommand(3, StoreState::kGone)), HasSubstr("still has replicas"));
  Do(StateCommand(3, StoreState::kDraining));
  EXPECT_THAT(Refused(OpenCommand(GroupOn({3}))), HasSubstr("store 3 is draining"));
  Do(StateCommand(3, StoreState::kServing));
  Do(StateCommand(3, StoreState::kDraining));
  ReplicaId leaves = state().FindGroup(GroupId(4))->replicas[0].id;
  Begin(ChangeOf(4, {2}, {leaves.value()}), true);
  Do(StateCommand(3, StoreState::kGone));
  EXPECT_THAT(Refused(StateCommand(3, StoreState::kServing)), HasSubstr("was removed"));
  Do(StateCommand(2, StoreState::kGone, /*lost=*/true));
  EXPECT_THAT(Refused(StateCommand(1, StoreState::kDraining)),
              HasSubstr("the last one that serves"));
}

TEST_F(MachineTest, Split) {
  EXPECT_THAT(Refused(OpenCommand(SplitOf(9, "k"))), HasSubstr("there is no shard 9"));
  EXPECT_THAT(Refused(OpenCommand(SplitOf(1, ""))), HasSubstr("does not split shard 1"));
  OperationId id = Begin(SplitOf(1, "m"));
  EXPECT_THAT(Map(), ElementsAre(" s1 e1 g2"));
  EXPECT_EQ(Do(AdvanceCommand(id, Phase::kRunning, Phase::kDone)).config, ConfigNumber(2));
  EXPECT_THAT(Map(), ElementsAre(" s1 e2 g2", "m s2 e2 g2"));
  EXPECT_THAT(Refused(OpenCommand(SplitOf(1, "m"))), HasSubstr("does not split shard 1"));
  EXPECT_THAT(Refused(OpenCommand(SplitOf(2, "m"))), HasSubstr("does not split shard 2"));
  Begin(SplitOf(2, "t"), true);
  EXPECT_THAT(Map(), ElementsAre(" s1 e2 g2", "m s2 e3 g2", "t s3 e3 g2"));
}

TEST_F(MachineTest, MergeTakesTheRightNeighbourOfTheSameGroup) {
  EXPECT_THAT(Refused(OpenCommand(MergeOf(1))), HasSubstr("has no right neighbour"));
  Begin(SplitOf(1, "m"), true);
  Begin(SplitOf(2, "t"), true);
  Operation merge = MergeOf(1);
  merge.other = ShardId(3);
  EXPECT_THAT(Refused(OpenCommand(merge)), HasSubstr("that is shard 2"));
  Begin(MergeOf(1), true);
  EXPECT_THAT(Map(), ElementsAre(" s1 e4 g2", "t s3 e3 g2"));
  Begin(MoveOf(3, 3), true);
  EXPECT_THAT(Refused(OpenCommand(MergeOf(1))), HasSubstr("move one first"));
}

TEST_F(MachineTest, MoveIsPublishedOnceItIsDone) {
  EXPECT_THAT(Refused(OpenCommand(MoveOf(1, 9))), HasSubstr("there is no group 9"));
  EXPECT_THAT(Refused(OpenCommand(MoveOf(1, 1))), HasSubstr("is the controller's"));
  EXPECT_THAT(Refused(OpenCommand(MoveOf(1, 2))), HasSubstr("is in group 2 already"));
  OperationId id = Begin(MoveOf(1, 3));
  Step(id);
  EXPECT_EQ(state().FindOperation(id)->phase, Phase::kForward);
  EXPECT_THAT(Map(), ElementsAre(" s1 e1 g2"));
  EXPECT_THAT(Refused(AdvanceCommand(id, Phase::kForward, Phase::kCancelling)),
              HasSubstr("is forward: it can't become cancelling"));
  Step(id);
  EXPECT_THAT(Map(), ElementsAre(" s1 e2 g3"));
  EXPECT_EQ(state().ids().config, ConfigNumber(2));
  EXPECT_TRUE(state().shards().At("")->second.operation) << "its old owner still drops it";
  Step(id);
  EXPECT_FALSE(state().shards().At("")->second.operation);
}

TEST_F(MachineTest, OfTwoOppositeMovesOneIsRefused) {
  Begin(MoveOf(1, 3));
  EXPECT_THAT(Refused(OpenCommand(MoveOf(1, 4))), HasSubstr("(move) is under way on shard 1"));
  EXPECT_THAT(Refused(OpenCommand(SplitOf(1, "m"))), HasSubstr("(move) is under way on shard 1"));
  EXPECT_THAT(Refused(OpenCommand(RetirementOf(3))), HasSubstr("is moving shard 1 to group 3"));
}

TEST_F(MachineTest, WhatIsCancelledLeavesEverythingAsItWas) {
  OperationId move = Begin(MoveOf(1, 3));
  Cancel(move);
  Carry(move);
  OperationId split = Begin(SplitOf(1, "m"));
  Cancel(split);
  Carry(split);
  OperationId group = Begin(GroupOn({2, 3}));
  Cancel(group);
  Carry(group);
  EXPECT_EQ(state().groups().size(), 4u);
  OperationId change = Begin(ChangeOf(2, {2}, {}));
  Cancel(change);
  Carry(change);
  EXPECT_EQ(state().FindGroup(GroupId(2))->replicas.size(), 1u);
  OperationId retirement = Begin(RetirementOf(3));
  EXPECT_EQ(state().FindGroup(GroupId(3))->state, GroupState::kRetiring);
  EXPECT_THAT(Refused(OpenCommand(MoveOf(1, 3))), HasSubstr("group 3 is retiring"));
  EXPECT_THAT(Refused(AdvanceCommand(retirement, Phase::kRunning, Phase::kCancelling)),
              HasSubstr("can't become cancelling"));
  Carry(retirement);
  EXPECT_THAT(Map(), ElementsAre(" s1 e1 g2"));
  EXPECT_EQ(state().ids().config, ConfigNumber(1));
  EXPECT_EQ(state().open_operations(), 0u);
}

// Its group may have carried it out before it heard that it is cancelled.
TEST_F(MachineTest, ASplitThatIsCancelledTooLateIsDone) {
  OperationId split = Begin(SplitOf(1, "m"));
  Cancel(split);
  Do(AdvanceCommand(split, Phase::kCancelling, Phase::kDone));
  EXPECT_THAT(Map(), ElementsAre(" s1 e2 g2", "m s2 e2 g2"));
}

TEST_F(MachineTest, TheFirstGroupIsNotCancelled) {
  LoneController fresh;
  ASSERT_TRUE(fresh.Apply(BootstrapCommand()).ok());
  EXPECT_FALSE(
      fresh.Apply(AdvanceCommand(OperationId(1), Phase::kRunning, Phase::kCancelling)).ok());
}

TEST_F(MachineTest, AStepThatIsRepeatedChangesNothing) {
  OperationId id = Begin(SplitOf(1, "m"), true);
  EXPECT_EQ(Do(AdvanceCommand(id, Phase::kRunning, Phase::kDone)).config, ConfigNumber(2));
  EXPECT_THAT(Refused(AdvanceCommand(OperationId(999), Phase::kRunning, Phase::kDone)),
              HasSubstr("there is no operation 999"));
}

// A controller that was deposed still says what it thought.
TEST_F(MachineTest, AStepFromAnEarlierPhaseIsRefused) {
  Begin(SplitOf(1, "m"), true);
  OperationId id = Begin(MoveOf(1, 3));
  Cancel(id);
  EXPECT_THAT(Refused(AdvanceCommand(id, Phase::kRunning, Phase::kForward)),
              HasSubstr("is cancelling: it can't become forward from running"));
  OperationId split = Begin(SplitOf(2, "t"));
  Cancel(split);
  EXPECT_THAT(Refused(AdvanceCommand(split, Phase::kRunning, Phase::kDone)),
              HasSubstr("is cancelling: it can't become done from running"));
}

TEST_F(MachineTest, AnOperationOfAnEarlierEpochIsRefused) {
  Operation move = MoveOf(1, 3);
  move.epoch = Epoch(1);
  Begin(SplitOf(1, "m"), true);
  EXPECT_THAT(Refused(OpenCommand(move)), HasSubstr("is at epoch 2 by now, not 1"));
}

TEST_F(MachineTest, ReplicasChange) {
  EXPECT_THAT(Refused(OpenCommand(ChangeOf(2, {}, {}))), HasSubstr("no replica is to be"));
  EXPECT_THAT(Refused(OpenCommand(ChangeOf(2, {1}, {}))), HasSubstr("has a replica of the group"));
  EXPECT_THAT(Refused(OpenCommand(ChangeOf(2, {9}, {}))), HasSubstr("store 9 is not known"));
  EXPECT_THAT(Refused(OpenCommand(ChangeOf(2, {}, {2}))), HasSubstr("left without a replica"));
  EXPECT_THAT(Refused(OpenCommand(ChangeOf(2, {2}, {77}))), HasSubstr("has no replica 77"));
  OperationId id = Begin(ChangeOf(2, {2, 3}, {2}));
  EXPECT_THAT(Refused(OpenCommand(ChangeOf(2, {3}, {}))),
              EndsWith("(change-replicas) is under way on group 2"));
  Carry(id);
  const Group& group = *state().FindGroup(GroupId(2));
  ASSERT_EQ(group.replicas.size(), 2u);
  EXPECT_EQ(group.replicas[0].store, StoreId(2));
  EXPECT_EQ(group.replicas[1].store, StoreId(3));
}

TEST_F(MachineTest, AGroupRetiresOnceItHasNoShards) {
  EXPECT_THAT(Refused(OpenCommand(RetirementOf(2))), HasSubstr("still has 1 shards"));
  EXPECT_THAT(Refused(OpenCommand(RetirementOf(1))), HasSubstr("is the controller's"));
  Begin(RetirementOf(4), true);
  EXPECT_EQ(state().FindGroup(GroupId(4)), nullptr);
  Begin(GroupOn({1}), true);
  EXPECT_EQ(state().FindGroup(GroupId(4)), nullptr) << "an id is never used again";
}

TEST_F(MachineTest, OfWhatIsOverTheLastAreKept) {
  for (uint64_t i = 0; i < kClosedOperationsMax / 2 + 20; ++i) {
    Begin(SplitOf(1, "m"), true);
    Begin(MergeOf(1), true);
  }
  EXPECT_EQ(state().operations().size(), kClosedOperationsMax);
  size_t before = state().operations().size();
  controller_.Restart();
  EXPECT_EQ(state().operations().size(), before);
}

TEST_F(MachineTest, SettingsHaveDefaults) {
  EXPECT_EQ(state().settings()[Setting::kReplicas], 3u);
  Do(SetCommand("replicas", 5));
  EXPECT_EQ(state().settings()[Setting::kReplicas], 5u);
  controller_.Restart();
  EXPECT_EQ(state().settings()[Setting::kReplicas], 5u);
  EXPECT_EQ(state().settings()[Setting::kMovesAtOnce], 4u);
}

TEST_F(MachineTest, HistoricalQueries) {
  std::vector<std::vector<std::string>> maps = {Map()};
  Begin(SplitOf(1, "m"), true);
  maps.push_back(Map());
  Begin(MoveOf(2, 3), true);
  maps.push_back(Map());
  Begin(MoveOf(2, 2), true);
  maps.push_back(Map());
  Begin(MergeOf(1), true);
  maps.push_back(Map());
  for (bool restarted : {false, true}) {
    if (restarted) controller_.Restart();
    for (size_t n = 0; n < maps.size(); ++n) {
      auto map = controller_.Query(ConfigNumber(n + 1));
      ASSERT_TRUE(map.ok()) << map.status();
      EXPECT_EQ(Describe(*map), maps[n]) << n;
    }
    EXPECT_THAT(std::string(controller_.Query(ConfigNumber(9)).status().message()),
                HasSubstr("there is no config 9"));
    EXPECT_THAT(
        std::string(controller_.Query(ConfigNumber(1), controller_.now()).status().message()),
        HasSubstr("config 1 is older than the history that is kept"));
  }
}

// History that begins while a config holds has that config's map.
TEST_F(MachineTest, AConfigThatStillHeldIsKept) {
  std::vector<std::string> first = Map();
  Begin(SplitOf(1, "m"), true);
  std::vector<std::string> second = Map();
  Timestamp still_second = controller_.now();
  Do(SetCommand("replicas", 5));
  Begin(MoveOf(2, 3), true);
  auto map = controller_.Query(ConfigNumber(2), still_second + 1);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(Describe(*map), second);
  EXPECT_EQ(controller_.Query(ConfigNumber(1), still_second + 1).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(controller_.Query(ConfigNumber(2), controller_.now()).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(controller_.Query(ConfigNumber(3), controller_.now() + 1).ok());
}

}  // namespace
}  // namespace kvd::shardctrler
