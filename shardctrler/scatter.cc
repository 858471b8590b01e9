#include "shardctrler/scatter.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

namespace kvd::shardctrler {
namespace {

class Scatter {
 public:
  Scatter(const State& state, const ClusterLoad* load) : state_(state), load_(load) {
    for (const auto& [id, group] : state.groups()) {
      if (id == kControllerGroup || group.state != GroupState::kServing) continue;
      Held& here = groups_[id];
      here.weight = static_cast<double>(state.shards().Of(id).size());
      if (load != nullptr) here.weight += WeightOf(load->Of(id));
      mean_ += here.weight;
    }
    mean_ /= std::max<double>(1, static_cast<double>(groups_.size()));
  }

  Scattering Run(const KeyRange& range, size_t most) {
    if (groups_.empty()) return {};
    Find(range);
    std::vector<Going> going = Leaving();
    // What can't go now takes its place all the same.
    std::sort(going.begin(), going.end(), [](const Going& a, const Going& b) {
      return std::pair(-a.weight, a.shard->second.id) < std::pair(-b.weight, b.shard->second.id);
    });
    std::set<std::pair<double, GroupId>> room;
    for (const auto& [id, group] : groups_) {
      if (group.room > 0) room.emplace(group.weight, id);
    }
    for (const Going& g : going) {
      GroupId to = room.begin()->second;
      room.erase(room.begin());
      Held& target = groups_.at(to);
      target.weight += g.weight;
      if (--target.room > 0) room.emplace(target.weight, to);
      if (g.shard->second.operation) {
        ++out_.busy;
      } else if (out_.moves.size() < most) {
        Move(g.shard->second, to);
      }
    }
    return std::move(out_);
  }

 private:
  struct Going {
    ShardMap::Position shard;
    double weight = 1;
  };
  struct Held {
    double weight = 0;
    std::vector<Going> shards;  // of the range
    uint64_t room = 0;          // for so many more of them
  };

  double Weight(ShardId id) const {
    const ShardReport* report = load_ == nullptr ? nullptr : load_->Find(id);
    return report == nullptr ? 1 : WeightOf(*report);
  }

  void Find(const KeyRange& range) {
    const auto& shards = state_.shards().shards();
    for (auto it = shards.lower_bound(range.start); it != shards.end(); ++it) {
      if (!range.end.empty() && it->first >= range.end) break;
      ++out_.shards;
      Going going{it, Weight(it->second.id)};
      // One that is on its way counts where it goes.
      const Operation* open = state_.FindOperation(it->second.operation);
      bool moves = open != nullptr && open->kind == OperationKind::kMove;
      GroupId owner = moves ? open->to : it->second.group;
      if (moves && open->to != it->second.group) {
        groups_[it->second.group].weight -= going.weight;
        groups_[owner].weight += going.weight;
      }
      groups_[owner].shards.push_back(going);
    }
  }

  // Who has most may keep one more than the others.
  std::vector<Going> Leaving() {
    std::vector<std::pair<size_t, GroupId>> order;
    for (const auto& [id, group] : groups_) order.emplace_back(group.shards.size(), id);
    std::sort(order.rbegin(), order.rend());
    uint64_t each = out_.shards / groups_.size(), more = out_.shards % groups_.size();
    std::vector<Going> leaving;
    for (size_t i = 0; i < order.size(); ++i) {
      Held& group = groups_.at(order[i].second);
      uint64_t quota = each + (i < more ? 1 : 0);
      group.room = quota - std::min<uint64_t>(quota, group.shards.size());
      if (group.shards.size() > quota) Thin(&group, quota, &leaving);
    }
    return leaving;
  }

  // Keeps `quota` of the group's shards, so that it weighs about as much as the others: of those
  // that can go at once, such as follow each other in weight.
  void Thin(Held* group, uint64_t quota, std::vector<Going>* leaving) const {
    std::vector<Going>& shards = group->shards;
    std::sort(shards.begin(), shards.end(), [](const Going& a, const Going& b) {
      return std::tuple(!a.shard->second.operation, a.weight, a.shard->second.id) <
             std::tuple(!b.shard->second.operation, b.weight, b.shard->second.id);
    });
    auto free = std::find_if(shards.begin(), shards.end(),
                             [](const Going& g) { return !g.shard->second.operation; });
    // Those that are part of something else stay, if there is room for them.
    auto busy = std::min<uint64_t>(quota, static_cast<uint64_t>(free - shards.begin()));
    auto window = static_cast<std::ptrdiff_t>(quota - busy);
    if (window > shards.end() - free) window = shards.end() - free;
    double others = group->weight, kept = 0;
    for (auto it = free; it != shards.end(); ++it) others -= it->weight;
    for (auto it = free; it != free + window; ++it) kept += it->weight;
    // From the lightest ones on, until a step further would not bring it closer.
    auto from = free;
    for (; window > 0 && from + window != shards.end(); ++from) {
      double next = kept - from->weight + (from + window)->weight;
      if (std::abs(others + next - mean_) >= std::abs(others + kept - mean_) && next != kept) break;
      kept = next;
    }
    auto leave = [&](auto first, auto last) {
      for (auto it = first; it != last; ++it) group->weight -= it->weight;
      leaving->insert(leaving->end(), first, last);
    };
    leave(shards.begin() + static_cast<std::ptrdiff_t>(busy), free);
    leave(free, from);
    leave(from + window, shards.end());
  }

  void Move(const Shard& shard, GroupId to) {
    Operation& o = out_.moves.emplace_back();
    o.kind = OperationKind::kMove;
    o.by_hand = true;
    o.shard = shard.id;
    o.epoch = shard.epoch;
    o.to = to;
    o.reason = "an operator scatters the range";
  }

  const State& state_;
  const ClusterLoad* const load_;
  std::map<GroupId, Held> groups_;  // those that serve
  double mean_ = 0;
  Scattering out_;
};

}  // namespace

Scattering ScatterShards(const State& state, const ClusterLoad* load, const KeyRange& range,
                         size_t most) {
  return Scatter(state, load).Run(range, most);
}

}  // namespace kvd::shardctrler
