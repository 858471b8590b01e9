// A controller whose operations are carried out as soon as they are begun, and what the scheduler
// makes of it.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "shardctrler/scheduler.h"
#include "tests/shardctrler/commands.h"
#include "tests/shardctrler/lone_controller.h"

namespace kvd::shardctrler {

// Two replicas of the controller that are given the same log.
class ObedientCluster : public testing::Test {
 protected:
  ObedientCluster() {
    Do(BootstrapCommand());
    Step();
  }

  Result Do(const Command& command) {
    auto result = controller_.Apply(command);
    auto other = other_.Apply(command);
    EXPECT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(other.ok() && *other == *result);
    return result.value_or(Result());
  }
  void Join(std::vector<JoiningStore> stores) { Do(JoinCommand(std::move(stores))); }
  void Drain(uint64_t store) { Do(StateCommand(store, StoreState::kDraining)); }

  // All that is open goes on by one phase.
  void Step() {
    std::vector<std::pair<OperationId, Operation>> open;
    for (const auto& [id, o] : state().operations()) {
      if (IsOpen(o.phase)) open.emplace_back(id, o);
    }
    for (auto& [id, o] : open) Do(AdvanceCommand(id, o.phase, NextOf(o)));
  }
  // Opens what the scheduler says; how many operations that were.
  size_t Open() {
    auto operations = Schedule(state(), view_);
    for (Operation& o : operations) {
      moves_ += o.kind == OperationKind::kMove ? 1 : 0;
      changes_ += o.kind == OperationKind::kChangeReplicas ? 1 : 0;
      Do(OpenCommand(std::move(o)));
    }
    return operations.size();
  }
  // Until there is nothing left to do.
  void Settle() {
    moves_ = changes_ = 0;
    for (int i = 0; i < 10'000; ++i) {
      if (Open() == 0 && state().open_operations() == 0) return;
      Step();
    }
    FAIL() << "it never comes to rest";
  }
  // Cuts the key space into `n` shards, wherever they are.
  void SplitInto(size_t n) {
    for (size_t i = state().shards().size(); i < n; ++i) {
      auto last = std::prev(state().shards().end());
      OperationId id =
          Do(OpenCommand(SplitOf(last->second.id.value(), absl::StrCat("k", 10'000 + i))))
              .operation;
      Do(AdvanceCommand(id, Phase::kRunning, Phase::kDone));
    }
  }

  const State& state() const { return controller_.state(); }
  std::map<GroupId, size_t> ShardCounts() const {
    std::map<GroupId, size_t> counts;
    for (const auto& [id, group] : state().groups()) {
      if (id != kControllerGroup) counts[id] = state().shards().Of(id).size();
    }
    return counts;
  }
  std::map<StoreId, size_t> ReplicaCounts() const {
    std::map<StoreId, size_t> counts;
    for (const auto& [id, group] : state().groups()) {
      for (const Replica& r : group.replicas) ++counts[r.store];
    }
    return counts;
  }
  void ExpectBalancedShards() const {
    size_t least = SIZE_MAX, most = 0;
    for (const auto& [group, count] : ShardCounts()) {
      least = std::min(least, count);
      most = std::max(most, count);
    }
    EXPECT_LE(most, least + 1);
  }
  // No data group has fewer voters than it should, and none on a store that leaves.
  void ExpectRepaired(size_t voters) const {
    for (const auto& [id, group] : state().groups()) {
      EXPECT_TRUE(id == kControllerGroup || group.replicas.size() == voters) << id.value();
      for (const Replica& r : group.replicas) {
        EXPECT_EQ(state().FindStore(r.store)->state, StoreState::kServing) << r.store.value();
      }
    }
  }

  LoneController controller_;
  LoneController other_;
  View view_;
  size_t moves_ = 0;
  size_t changes_ = 0;
};

}  // namespace kvd::shardctrler
