// What the controller should begin next: repair first, then growth, then balance (design, 7). A
// pure function of what it knows and what the stores say, asked again and again: what it began
// shows in the state, and counts as done.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "raft/runtime/time.h"
#include "shardctrler/dwelling.h"
#include "shardctrler/load.h"
#include "shardctrler/state.h"

namespace kvd::shardctrler {

// What the leader of the controller sees beside the state.
struct View {
  // For how long each store was not heard from; one that is not named counts as heard from just
  // now.
  std::map<StoreId, Duration> silence;
  // Null: nothing is known, then nothing is split or merged, and numbers are balanced. Outlives the
  // view.
  const ClusterLoad* load = nullptr;
  // Shards that have moved lately. Null: none. Outlives the view.
  const Dwelling* dwelling = nullptr;
  // Shards from this start key on are looked at for merging, at most kMergesLookedAt.
  std::string merges_from;
};

inline constexpr size_t kMergesLookedAt = 5'000;

// Voters that a group should have where `stores` can hold one: the largest odd number up to both,
// as an even one stands no more losses than the one below it.
size_t VotersFor(size_t wanted, size_t stores);

// Operations to take back: they wait for a replica on a store that is silent, or gone.
std::vector<OperationId> Hopeless(const State& state, const View& view);

// Changes of replicas and new groups to begin, the most urgent first, each on a group of its own.
std::vector<Operation> ScheduleReplicas(const State& state, const View& view);

// Splits, merges and moves to begin, each on shards of its own.
struct ShardPlan {
  std::vector<Operation> operations;
  std::string merges_from;  // where to look on, next time
};
ShardPlan ScheduleShards(const State& state, const View& view);

// Operations to open: both. `state` has been bootstrapped.
std::vector<Operation> Schedule(const State& state, const View& view);

}  // namespace kvd::shardctrler
