#include "shardctrler/load.h"

#include <algorithm>
#include <vector>

namespace kvd::shardctrler {
namespace {

// What a shard weighs: as one, and as what it has and is asked. So without bytes and load it is
// numbers that are balanced.
constexpr double kBytesOfOne = 16 << 20;
constexpr double kLoadOfOne = 500;

// Groups in which what is no more is looked for, each time.
constexpr size_t kSweptAtOnce = 32;

}  // namespace

double WeightOf(const Amounts& amounts) {
  return static_cast<double>(amounts.bytes) / kBytesOfOne + amounts.load / kLoadOfOne;
}

void ClusterLoad::Count(ShardId id, const ShardReport& report, int sign) {
  GroupEntry& group = groups_[report.group];
  for (Amounts* amounts : {&group.amounts, &total_}) {
    amounts->bytes += sign > 0 ? report.bytes : -report.bytes;
    // Sums of differences drift.
    amounts->load = std::max(0.0, amounts->load + sign * report.load());
  }
  std::pair<double, ShardId> by_weight(WeightOf(report), id), by_load(report.load(), id);
  if (sign > 0) {
    group.shards.insert(by_weight);
    if (report.load() > 0) busy_.insert(by_load);
  } else {
    group.shards.erase(by_weight);
    busy_.erase(by_load);
    if (group.shards.empty()) groups_.erase(report.group);
  }
  ++version_;
}

void ClusterLoad::Drop(ShardId id) {
  Count(id, shards_.at(id), -1);
  shards_.erase(id);
  splittable_.erase(id);
}

void ClusterLoad::Note(ShardId id, ShardReport report) {
  auto [it, is_new] = shards_.try_emplace(id);
  // What was said of an earlier version of it came late.
  if (!is_new && report.epoch < it->second.epoch) return;
  if (!is_new) Count(id, it->second, -1);
  it->second = std::move(report);
  Count(id, it->second, +1);
  if (it->second.split_key.empty()) {
    splittable_.erase(id);
  } else {
    splittable_.insert(id);
  }
}

const ShardReport* ClusterLoad::Find(ShardId id) const {
  auto it = shards_.find(id);
  return it == shards_.end() ? nullptr : &it->second;
}

Amounts ClusterLoad::Of(GroupId group) const {
  auto it = groups_.find(group);
  return it == groups_.end() ? Amounts() : it->second.amounts;
}

const ClusterLoad::Ranked& ClusterLoad::RankedOf(GroupId group) const {
  static const Ranked none;
  auto it = groups_.find(group);
  return it == groups_.end() ? none : it->second.shards;
}

std::vector<ShardId> ClusterLoad::Busiest(size_t most) const {
  std::vector<ShardId> found;
  for (auto it = busy_.rbegin(); it != busy_.rend() && found.size() < most; ++it)
    found.push_back(it->second);
  return found;
}

// Some groups each time: what came late of a shard that is no more.
void ClusterLoad::Sweep(const State& state) {
  std::vector<ShardId> gone;
  auto it = groups_.lower_bound(sweep_from_);
  for (size_t i = 0; i < kSweptAtOnce && it != groups_.end(); ++i, ++it) {
    for (const auto& [weight, id] : it->second.shards) {
      if (state.shards().Find(id) == state.shards().end()) gone.push_back(id);
    }
  }
  sweep_from_ = it == groups_.end() ? GroupId() : it->first;
  for (ShardId id : gone) Drop(id);
}

// What the right one had is the left one's, until that is measured.
void ClusterLoad::FollowMerge(const State& state, const Operation& merge) {
  auto it = shards_.find(merge.other);
  if (it == shards_.end() || state.shards().Find(merge.other) != state.shards().end()) return;
  ShardReport right = it->second;
  Drop(merge.other);
  auto left = shards_.find(merge.shard);
  if (left == shards_.end() || left->second.epoch > merge.epoch) return;
  Count(merge.shard, left->second, -1);
  left->second.bytes += right.bytes;
  left->second.reads += right.reads;
  left->second.writes += right.writes;
  Count(merge.shard, left->second, +1);
}

void ClusterLoad::FollowMove(const State& state, const Operation& move) {
  auto it = shards_.find(move.shard);
  if (it == shards_.end() || it->second.group != move.group) return;
  auto shard = state.shards().Find(move.shard);
  if (shard == state.shards().end() || shard->second.group != move.to) return;
  Count(move.shard, it->second, -1);
  it->second.group = move.to;
  Count(move.shard, it->second, +1);
}

void ClusterLoad::Follow(const State& state) {
  if (followed_ != std::pair(state.version(), version_)) {
    for (const auto& [id, o] : state.operations()) {
      if (o.kind == OperationKind::kMerge && o.phase == Phase::kDone) {
        FollowMerge(state, o);
      } else if (o.kind == OperationKind::kMove && o.phase >= Phase::kPublished) {
        FollowMove(state, o);
      }
    }
    sweeps_left_ = 2 + groups_.size() / kSweptAtOnce;
  }
  if (sweeps_left_ > 0) {
    --sweeps_left_;
    Sweep(state);
  }
  followed_ = {state.version(), version_};
}

void ClusterLoad::Clear() {
  uint64_t version = version_ + 1;
  *this = ClusterLoad();
  version_ = version;
}

}  // namespace kvd::shardctrler
