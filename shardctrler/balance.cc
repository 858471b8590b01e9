#include "shardctrler/balance.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_format.h"
#include "shardctrler/load.h"

namespace kvd::shardctrler {
namespace {

// What a shard weighs: as one, and as what it has and is asked. So without bytes and load it is
// numbers that are balanced.
constexpr double kBytesOfOne = 16 << 20;
constexpr double kLoadOfOne = 500;
// What differs by less than this part of the mean is left: loads are never quite the same.
constexpr double kSlack = 0.1;

double WeightOf(const Amounts& amounts) {
  return static_cast<double>(amounts.bytes) / kBytesOfOne + amounts.load / kLoadOfOne;
}

class Balance {
 public:
  Balance(const State& state, const ClusterLoad* load) : state_(state), load_(load) {
    double extra = 0;
    for (const auto& [id, group] : state.groups()) {
      if (id == kControllerGroup || group.state != GroupState::kServing) continue;
      double more = load == nullptr ? 0 : WeightOf(load->Of(id));
      weights_[id] = static_cast<double>(state.shards().Of(id).size()) + more;
      extra += more;
    }
    if (!weights_.empty()) slack_ = kSlack * extra / static_cast<double>(weights_.size());
    for (const auto& [id, o] : state.operations()) {
      if (!IsOpen(o.phase) || o.kind != OperationKind::kMove) continue;
      if (o.phase == Phase::kPublished || o.phase == Phase::kCancelling) continue;
      Shift(o.group, o.to, Weight(o.shard));
    }
  }

  // Takes the shards of a move that was begun elsewhere into account.
  void Take(ShardId id) { taken_.insert(id); }

  std::optional<Operation> Next() {
    if (weights_.size() < 2) return std::nullopt;
    std::vector<std::pair<double, GroupId>> order;
    for (const auto& [id, weight] : weights_) order.emplace_back(-weight, id);
    std::sort(order.begin(), order.end());
    auto least = std::min_element(weights_.begin(), weights_.end(),
                                  [](const auto& a, const auto& b) { return a.second < b.second; });
    // One that has too much, all of it in a shard that can't be split, keeps it: the next one
    // gives.
    for (const auto& [weight, from] : order) {
      double difference = -weight - least->second;
      if (difference <= slack_) return std::nullopt;
      if (auto best = Best(from, difference)) return Move(*best, from, least->first);
    }
    return std::nullopt;
  }

 private:
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
    Shift(from, to, Weight(id));
    return o;
  }

  double Weight(ShardId id) const {
    const ShardReport* report = load_ == nullptr ? nullptr : load_->Find(id);
    return 1 + (report == nullptr ? 0 : WeightOf({report->bytes, report->load()}));
  }

  void Shift(GroupId from, GroupId to, double weight) {
    if (weights_.contains(from)) weights_[from] -= weight;
    if (weights_.contains(to)) weights_[to] += weight;
  }

  // The one that brings two groups that differ by so much closest to each other; none if both would
  // only change places.
  std::optional<ShardId> Best(GroupId from, double difference) const {
    std::optional<ShardId> best;
    double best_left = difference;
    for (ShardId id : state_.shards().Of(from)) {
      if (taken_.contains(id) || state_.shards().Find(id)->second.operation) continue;
      double weight = Weight(id);
      double left = std::abs(difference - 2 * weight);
      // It has to be worth it: a little for a small one.
      bool worth = left + std::min(slack_, weight) <= difference;
      if (weight >= difference || !worth || left >= best_left) continue;
      best = id;
      best_left = left;
    }
    return best;
  }

  std::string Of(GroupId id) const {
    size_t shards = state_.shards().Of(id).size();
    Amounts amounts = load_ == nullptr ? Amounts() : load_->Of(id);
    if (WeightOf(amounts) < 1) return absl::StrFormat("%d shards", shards);
    return absl::StrFormat("%d shards with %.1f MB and %.0f operations/s", shards,
                           static_cast<double>(amounts.bytes) / 1e6, amounts.load);
  }

  const State& state_;
  const ClusterLoad* const load_;
  std::map<GroupId, double> weights_;  // of those that serve, as they will be
  double slack_ = 0;
  std::set<ShardId> taken_;
};

}  // namespace

Scattering ScatterShards(const State& state, const KeyRange& range, size_t most) {
  Scattering out;
  std::map<GroupId, std::vector<ShardMap::Position>> here;
  for (const auto& [id, group] : state.groups()) {
    if (id != kControllerGroup && group.state == GroupState::kServing) here[id];
  }
  if (here.empty()) return out;
  const auto& shards = state.shards().shards();
  for (auto it = shards.lower_bound(range.start); it != shards.end(); ++it) {
    if (!range.end.empty() && it->first >= range.end) break;
    ++out.shards;
    // One that is on its way counts where it goes.
    const Operation* open = state.FindOperation(it->second.operation);
    bool moves = open != nullptr && open->kind == OperationKind::kMove;
    here[moves ? open->to : it->second.group].push_back(it);
  }
  // Who has most may keep one more than the others.
  std::vector<std::pair<size_t, GroupId>> order;
  for (const auto& [id, held] : here) order.emplace_back(held.size(), id);
  std::sort(order.rbegin(), order.rend());
  uint64_t each = out.shards / here.size(), more = out.shards % here.size();
  std::map<GroupId, uint64_t> room;
  std::vector<ShardMap::Position> leaving;
  for (size_t i = 0; i < order.size(); ++i) {
    auto& held = here[order[i].second];
    uint64_t quota = each + (i < more ? 1 : 0);
    for (; held.size() > quota; held.pop_back()) leaving.push_back(held.back());
    room[order[i].second] = quota - held.size();
  }
  auto to = room.begin();
  for (ShardMap::Position shard : leaving) {
    while (to->second == 0) ++to;
    --to->second;
    if (shard->second.operation) {
      ++out.busy;
      continue;
    }
    if (out.moves.size() >= most) continue;
    Operation& o = out.moves.emplace_back();
    o.kind = OperationKind::kMove;
    o.by_hand = true;
    o.shard = shard->second.id;
    o.epoch = shard->second.epoch;
    o.to = to->first;
    o.reason = "an operator scatters the range";
  }
  return out;
}

std::vector<Operation> BalanceShards(const State& state, const View& view, size_t most,
                                     const std::set<ShardId>& taken) {
  std::vector<Operation> out;
  Balance balance(state, view.load);
  for (ShardId id : taken) balance.Take(id);
  while (out.size() < most) {
    auto move = balance.Next();
    if (!move) break;
    out.push_back(*std::move(move));
  }
  return out;
}

}  // namespace kvd::shardctrler
