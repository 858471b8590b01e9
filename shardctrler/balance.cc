#include "shardctrler/balance.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_format.h"
#include "shardctrler/load.h"

namespace kvd::shardctrler {
namespace {

// What differs by less than this part of the mean is left: loads are never quite the same.
constexpr double kSlack = 0.1;

class Balance {
 public:
  Balance(const State& state, const View& view) : state_(state), view_(view), load_(view.load) {
    Shifts shifts = OpenShifts();
    std::vector<std::pair<double, GroupId>> weights;
    weights.reserve(state.groups().size());
    for (const auto& [id, group] : state.groups()) {
      if (id == kControllerGroup || group.state != GroupState::kServing) continue;
      double weight = static_cast<double>(state.shards().Of(id).size());
      if (load_ != nullptr) weight += WeightOf(load_->Of(id));
      if (auto shift = shifts.find(id); shift != shifts.end()) weight += shift->second;
      weights.emplace_back(weight, id);
    }
    if (weights.size() < 2) return;
    if (load_ != nullptr)
      slack_ = kSlack * WeightOf(load_->total()) / static_cast<double>(weights.size());
    // Mostly there is nothing to do: then they need not be put in order.
    auto [least, most] = std::minmax_element(weights.begin(), weights.end());
    if (!Differ(most->first - least->first)) return;
    std::sort(weights.begin(), weights.end());
    order_.insert(weights.begin(), weights.end());
  }

  // Takes the shards of a move that was begun elsewhere into account.
  void Take(ShardId id) { taken_.insert(id); }

  // A group that has too much, all of it in shards that can't be moved, keeps it, and is not asked
  // again: as it gives nothing, and the least only gets more, it is not going to. The next one
  // gives.
  std::optional<Operation> Next() {
    while (order_.size() >= 2) {
      auto [least, to] = *order_.begin();
      auto [most, from] = *order_.rbegin();
      if (!Differ(most - least)) return std::nullopt;
      order_.erase(std::prev(order_.end()));
      auto best = Best(from, most - least);
      if (!best) continue;
      order_.erase(order_.begin());
      double weight = Weight(*best);
      order_.emplace(most - weight, from);
      order_.emplace(least + weight, to);
      return Move(*best, from, to);
    }
    return std::nullopt;
  }

 private:
  using Shifts = absl::flat_hash_map<GroupId, double>;

  // What groups gain and lose by moves that are under way.
  Shifts OpenShifts() const {
    Shifts shifts;
    for (const auto& [id, o] : state_.operations()) {
      if (!IsOpen(o.phase) || o.kind != OperationKind::kMove) continue;
      if (o.phase == Phase::kPublished || o.phase == Phase::kCancelling) continue;
      shifts[o.group] -= Weight(o.shard);
      shifts[o.to] += Weight(o.shard);
    }
    return shifts;
  }

  // Whether it may be worth it to move anything: no shard weighs less than one.
  bool Differ(double difference) const { return difference > slack_ && IsWorth(1, difference); }

  Operation Move(ShardId id, GroupId from, GroupId to) {
    Operation o;
    o.kind = OperationKind::kMove;
    o.shard = id;
    o.epoch = state_.shards().Find(id)->second.epoch;
    o.group = from;
    o.to = to;
    o.reason = absl::StrFormat("balance: group %d has %s, group %d has %s", o.group.value(),
                               Of(o.group), o.to.value(), Of(o.to));
    taken_.insert(id);
    return o;
  }

  double Weight(ShardId id) const {
    const ShardReport* report = load_ == nullptr ? nullptr : load_->Find(id);
    return report == nullptr ? 1 : WeightOf(*report);
  }

  // How far two groups that differ by so much are apart once a shard of such a weight has moved.
  static double LeftAfter(double weight, double difference) {
    return std::abs(difference - 2 * weight);
  }
  // Whether both don't only change places, and come closer: for a small shard a little is enough.
  bool IsWorth(double weight, double difference) const {
    return weight < difference &&
           LeftAfter(weight, difference) + std::min(slack_, weight) <= difference;
  }
  bool MayMove(ShardId id, GroupId from) const {
    if (taken_.contains(id)) return false;
    if (view_.dwelling != nullptr && view_.dwelling->Has(id)) return false;
    auto shard = state_.shards().Find(id);
    // What was told of may be gone by now.
    return shard != state_.shards().end() && shard->second.group == from &&
           !shard->second.operation;
  }

  // The one that brings the group closest to one that has so much less.
  std::optional<ShardId> Best(GroupId from, double difference) const {
    const ShardMap::Ids& shards = state_.shards().Of(from);
    if (load_ != nullptr && load_->RankedOf(from).size() >= shards.size())
      return BestRanked(load_->RankedOf(from), from, difference);
    std::optional<ShardId> best;
    double best_left = difference;
    for (ShardId id : shards) {
      double weight = Weight(id), left = LeftAfter(weight, difference);
      if (left >= best_left || !IsWorth(weight, difference) || !MayMove(id, from)) continue;
      best = id;
      best_left = left;
    }
    return best;
  }

  // The same where all are told: the nearest to half of the difference, above and below it.
  std::optional<ShardId> BestRanked(const ClusterLoad::Ranked& ranked, GroupId from,
                                    double difference) const {
    auto middle = ranked.lower_bound({difference / 2, ShardId()});
    std::optional<std::pair<double, ShardId>> best;
    auto take = [&](const std::pair<double, ShardId>& shard) {
      if (!MayMove(shard.second, from)) return false;
      double left = LeftAfter(shard.first, difference);
      if (!best || left < best->first) best = {left, shard.second};
      return true;
    };
    for (auto it = middle; it != ranked.end() && IsWorth(it->first, difference); ++it) {
      if (take(*it)) break;
    }
    for (auto it = middle; it != ranked.begin();) {
      --it;
      if (!IsWorth(it->first, difference) || take(*it)) break;
    }
    if (!best) return std::nullopt;
    return best->second;
  }

  std::string Of(GroupId id) const {
    size_t shards = state_.shards().Of(id).size();
    Amounts amounts = load_ == nullptr ? Amounts() : load_->Of(id);
    if (WeightOf(amounts) < 1) return absl::StrFormat("%d shards", shards);
    return absl::StrFormat("%d shards with %.1f MB and %.0f operations/s", shards,
                           static_cast<double>(amounts.bytes) / 1e6, amounts.load);
  }

  const State& state_;
  const View& view_;
  const ClusterLoad* const load_;
  absl::btree_set<std::pair<double, GroupId>> order_;  // those that may still give or get
  double slack_ = 0;
  std::set<ShardId> taken_;
};

}  // namespace

std::vector<Operation> BalanceShards(const State& state, const View& view, size_t most,
                                     const std::set<ShardId>& taken) {
  std::vector<Operation> out;
  Balance balance(state, view);
  for (ShardId id : taken) balance.Take(id);
  while (out.size() < most) {
    auto move = balance.Next();
    if (!move) break;
    out.push_back(*std::move(move));
  }
  return out;
}

}  // namespace kvd::shardctrler
