#include "shardctrler/scheduler.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "shardctrler/balance.h"
#include "shardctrler/replicas.h"
#include "shardctrler/sizing.h"

namespace kvd::shardctrler {
namespace {

// How many more of these kinds may be begun.
size_t Left(const State& state, Setting limit, std::initializer_list<OperationKind> kinds) {
  uint64_t open = 0, most = state.settings()[limit];
  for (const auto& [id, o] : state.operations()) {
    if (IsOpen(o.phase) && std::find(kinds.begin(), kinds.end(), o.kind) != kinds.end()) ++open;
  }
  return most - std::min(most, open);
}

// Shards to which another one moves, or has just moved, to be merged: if they moved meanwhile, the
// two would only have changed places.
std::set<ShardId> Awaiting(const State& state, const View& view) {
  std::set<ShardId> awaiting;
  for (const auto& [id, o] : state.operations()) {
    if (o.kind != OperationKind::kMove || !o.other) continue;
    bool arrived =
        o.phase == Phase::kDone && view.dwelling != nullptr && view.dwelling->Has(o.shard);
    if (IsOpen(o.phase) || arrived) awaiting.insert(o.other);
  }
  return awaiting;
}

}  // namespace

std::vector<Operation> ScheduleReplicas(const State& state, const View& view) {
  size_t left = Left(state, Setting::kReplicaChangesAtOnce,
                     {OperationKind::kChangeReplicas, OperationKind::kCreateGroup});
  return left == 0 ? std::vector<Operation>() : PlaceReplicas(state, view, left);
}

// Splits go before merges, and both before moves: what is moved should be the shards that stay.
ShardPlan ScheduleShards(const State& state, const View& view) {
  const Settings& settings = state.settings();
  size_t moves = Left(state, Setting::kMovesAtOnce, {OperationKind::kMove});
  size_t left = Left(state, Setting::kMovesAtOnce, {OperationKind::kSplit, OperationKind::kMerge});
  ShardPlan plan;
  plan.merges_from = view.merges_from;
  std::set<ShardId> taken;
  auto take = [&](std::vector<Operation>& operations) {
    for (Operation& o : operations) {
      if (!taken.insert(o.shard).second || (o.other && !taken.insert(o.other).second)) continue;
      if (o.kind == OperationKind::kMove) --moves;
      plan.operations.push_back(std::move(o));
    }
  };
  if (view.load != nullptr && settings[Setting::kAutoSplit] != 0) {
    std::vector<Operation> splits = SplitShards(state, *view.load, left);
    left -= splits.size();
    take(splits);
  }
  if (view.load != nullptr && settings[Setting::kAutoMerge] != 0) {
    Merges merges = MergeShards(state, view, left, moves);
    plan.merges_from = std::move(merges.next);
    take(merges.operations);
  }
  if (settings[Setting::kAutoBalance] == 0 || moves == 0) return plan;
  taken.merge(Awaiting(state, view));
  std::vector<Operation> balance = BalanceShards(state, view, moves, taken);
  std::move(balance.begin(), balance.end(), std::back_inserter(plan.operations));
  return plan;
}

std::vector<Operation> Schedule(const State& state, const View& view) {
  std::vector<Operation> operations = ScheduleReplicas(state, view);
  ShardPlan shards = ScheduleShards(state, view);
  std::move(shards.operations.begin(), shards.operations.end(), std::back_inserter(operations));
  return operations;
}

}  // namespace kvd::shardctrler
