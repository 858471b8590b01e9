// What the controller's records become after a majority was lost for good, of a data group or of
// the controller itself.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "shardctrler/scheduler.h"
#include "tests/shardctrler/commands.h"
#include "tests/shardctrler/lone_controller.h"

namespace kvd::shardctrler {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr GroupId kGroup{2};

// Five stores; the first data group has replicas on 1, 2 and 3.
class Recovery : public testing::Test {
 protected:
  void SetUp() override {
    Do(BootstrapCommand());
    Do(JoinCommand({StoreNumber(2), StoreNumber(3), StoreNumber(4), StoreNumber(5)}));
    Do(AdvanceCommand(OperationId(1), Phase::kRunning, Phase::kDone));
    OperationId grown = Do(OpenCommand(ChangeOf(2, {2, 3}, {}))).operation;
    Do(AdvanceCommand(grown, Phase::kRunning, Phase::kDone));
  }
  Result Do(const Command& command) {
    auto result = controller_.Apply(command);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(Result());
  }
  std::string Refused(const Command& command) {
    auto result = controller_.Apply(command);
    EXPECT_FALSE(result.ok());
    return std::string(result.status().message());
  }
  const State& state() const { return controller_.state(); }
  Replica On(uint64_t store) const {
    for (const Replica& r : state().FindGroup(kGroup)->replicas) {
      if (r.store == StoreId(store)) return r;
    }
    return {};
  }
  std::vector<uint64_t> StoresOfGroup() const {
    std::vector<uint64_t> stores;
    for (const Replica& r : state().FindGroup(kGroup)->replicas) stores.push_back(r.store.value());
    return stores;
  }

  LoneController controller_;
};

TEST_F(Recovery, NothingThatWasLostIsGivenOutAgain) {
  Ids before = state().ids();
  Timestamp told = controller_.now();
  Do(RecoverCommand({2, 3, 99}));
  const Ids& now = state().ids();
  EXPECT_GT(now.next_store, before.next_store);
  EXPECT_GT(now.next_group, before.next_group);
  EXPECT_GT(now.next_replica, before.next_replica);
  EXPECT_GT(now.next_shard, before.next_shard);
  EXPECT_GT(now.config, before.config + 1);
  for (uint64_t store : {2, 3}) {
    EXPECT_EQ(state().FindStore(StoreId(store))->state, StoreState::kGone) << store;
  }
  EXPECT_EQ(state().FindStore(StoreId(1))->state, StoreState::kServing);
  // Who knew what was lost is told everything.
  EXPECT_FALSE(controller_.machine().changes().Since(told).has_value());
  // Operations are numbers of log entries, and those may come again.
  OperationId later = Do(OpenCommand(SplitOf(1, "m"))).operation;
  EXPECT_GT(later.value(), uint64_t{1} << 20);
  controller_.Restart();
  EXPECT_EQ(state().ids().operations_from, uint64_t{1} << 20);
  // An earlier config is there; those that may have been lost are not.
  EXPECT_TRUE(controller_.Query(before.config).ok());
  EXPECT_EQ(controller_.Query(before.config + 1).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(Recovery, ReplicasThatMayBeLostAreNobodysOrphans) {
  ReplicaId next = state().ids().next_replica;
  EXPECT_FALSE(state().ids().MayBeLost(next));
  Do(RecoverCommand({2}));
  EXPECT_TRUE(state().ids().MayBeLost(next));
  EXPECT_FALSE(state().ids().MayBeLost(On(1).id));
  ReplicaId later = state().ids().next_replica;
  Do(RecoverCommand({3}));
  EXPECT_TRUE(state().ids().MayBeLost(next));
  EXPECT_TRUE(state().ids().MayBeLost(later));
  EXPECT_FALSE(state().ids().MayBeLost(state().ids().next_replica));
}

TEST_F(Recovery, AGroupWithoutItsMajorityIsGrownAgain) {
  Do(StateCommand(2, StoreState::kGone, true));
  Do(StateCommand(3, StoreState::kGone, true));
  View view;
  for (const auto& [id, store] : state().stores()) view.silence[id] = Duration::zero();
  auto changes = [&] {
    size_t count = 0;
    for (const Operation& o : Schedule(state(), view)) count += o.group == kGroup ? 1 : 0;
    return count;
  };
  // Nobody could carry it out.
  EXPECT_EQ(changes(), 0u);
  Replica left = On(1);
  Do(AdoptCommand(2, {left}, {On(2).id.value(), On(3).id.value()}));
  EXPECT_THAT(StoresOfGroup(), ElementsAre(1));
  EXPECT_EQ(changes(), 1u);
  // Told again, nothing changes.
  EXPECT_THAT(Refused(AdoptCommand(2, {left}, {100})), HasSubstr("as it should be"));
}

TEST_F(Recovery, ALearnerThatIsLeftIsTheGroup) {
  Replica learner{ReplicaId(50), StoreId(4)};
  std::vector<uint64_t> all;
  for (uint64_t store : {1, 2, 3}) all.push_back(On(store).id.value());
  EXPECT_THAT(Refused(AdoptCommand(2, {learner}, all)), HasSubstr("replica 50 can't be"));
  Do(RecoverCommand({}));
  Do(AdoptCommand(2, {learner}, all));
  EXPECT_THAT(StoresOfGroup(), ElementsAre(4));
}

// The change is taken back where it was not carried out, and counts once where it was.
TEST_F(Recovery, AChangeThatWasUnderWayIsTakenBack) {
  OperationId open = Do(OpenCommand(ChangeOf(2, {4}, {On(3).id.value()}))).operation;
  Do(AdoptCommand(2, {On(1)}, {On(2).id.value(), On(3).id.value()}));
  EXPECT_EQ(state().FindOperation(open)->phase, Phase::kCancelling);
  Do(AdvanceCommand(open, Phase::kCancelling, Phase::kCancelled));
  EXPECT_THAT(StoresOfGroup(), ElementsAre(1));
}

TEST_F(Recovery, AChangeOfLostEntriesIsTakenOver) {
  ReplicaId lost = state().ids().next_replica;
  Do(RecoverCommand({3}));
  OperationId open = Do(OpenCommand(ChangeOf(2, {5}, {}))).operation;
  Replica added = state().FindOperation(open)->added[0];
  Do(AdoptCommand(2, {On(1), On(2), {lost, StoreId(4)}, added}, {}));
  EXPECT_THAT(StoresOfGroup(), ElementsAre(1, 2, 4, 5));
  EXPECT_EQ(state().FindOperation(open)->phase, Phase::kCancelling);
  Do(AdvanceCommand(open, Phase::kCancelling, Phase::kDone));
  EXPECT_THAT(StoresOfGroup(), ElementsAre(1, 2, 4, 5));
}

// A change that goes on as it should is none of this.
TEST_F(Recovery, WhatALeaderTellsOtherwiseChangesNothing) {
  Do(OpenCommand(ChangeOf(2, {4}, {})));
  ReplicaId added = state().ids().next_replica;
  EXPECT_THAT(Refused(AdoptCommand(2, {On(1), {added, StoreId(4)}}, {})),
              HasSubstr("as it should be"));
  EXPECT_THAT(Refused(AdoptCommand(9, {On(1)}, {})), HasSubstr("there is no group 9"));
  EXPECT_THAT(StoresOfGroup(), ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace kvd::shardctrler
