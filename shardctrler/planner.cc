#include "shardctrler/planner.h"

#include <iterator>

#include "shardctrler/placement.h"

namespace kvd::shardctrler {

// Whether they were well when last looked at, and all that counts is as it was.
bool Planner::ReplicasRest(const State& state, const View& view) {
  std::pair seen(state.placement_version(), ClassesOf(state, view));
  if (seen == replicas_seen_) return replicas_rest_;
  replicas_seen_ = std::move(seen);
  return false;
}

bool Planner::ShardsRest(const State& state, const View& view) {
  std::tuple seen(state.version(), view.load == nullptr ? 0 : view.load->version(),
                  view.dwelling == nullptr ? 0 : view.dwelling->version());
  if (seen == shards_seen_) return looks_left_ == 0;
  shards_seen_ = seen;
  looks_left_ = 2 + state.shards().size() / kMergesLookedAt;
  return false;
}

const std::vector<Operation>& Planner::Next(const State& state, View view) {
  plan_.clear();
  view.merges_from = merges_from_;
  if (ReplicasRest(state, view)) {
    ++spared_;
  } else {
    plan_ = ScheduleReplicas(state, view);
    replicas_rest_ = plan_.empty();
  }
  if (ShardsRest(state, view)) {
    ++spared_;
    return plan_;
  }
  ShardPlan shards = ScheduleShards(state, view);
  merges_from_ = std::move(shards.merges_from);
  // What was wanted is wanted until it shows in the state.
  if (shards.operations.empty()) {
    --looks_left_;
  } else {
    looks_left_ = 2 + state.shards().size() / kMergesLookedAt;
  }
  std::move(shards.operations.begin(), shards.operations.end(), std::back_inserter(plan_));
  return plan_;
}

}  // namespace kvd::shardctrler
