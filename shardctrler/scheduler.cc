#include "shardctrler/scheduler.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "shardctrler/balance.h"
#include "shardctrler/placement.h"
#include "shardctrler/sizing.h"

namespace kvd::shardctrler {
namespace {

size_t OpenOf(const State& state, std::initializer_list<OperationKind> kinds) {
  size_t open = 0;
  for (const auto& [id, o] : state.operations()) {
    if (IsOpen(o.phase) && std::find(kinds.begin(), kinds.end(), o.kind) != kinds.end()) ++open;
  }
  return open;
}

std::set<StoreId> StoresOf(const Group& group) {
  std::set<StoreId> stores;
  for (const Replica& r : group.replicas) stores.insert(r.store);
  return stores;
}

class Scheduler {
 public:
  Scheduler(const State& state, const View& view)
      : state_(state),
        view_(view),
        placement_(state, view),
        changes_left_(Left(Setting::kReplicaChangesAtOnce,
                           {OperationKind::kChangeReplicas, OperationKind::kCreateGroup})),
        moves_left_(Left(Setting::kMovesAtOnce, {OperationKind::kMove})),
        shapings_left_(
            Left(Setting::kMovesAtOnce, {OperationKind::kSplit, OperationKind::kMerge})) {}

  std::vector<Operation> Run() {
    RepairReplicas();
    CreateGroups();
    if (state_.settings()[Setting::kAutoBalance] != 0) BalanceReplicas();
    ShapeShards();
    return std::move(operations_);
  }

 private:
  size_t Left(Setting limit, std::initializer_list<OperationKind> kinds) const {
    uint64_t most = state_.settings()[limit];
    return most - std::min<uint64_t>(most, OpenOf(state_, kinds));
  }
  bool IsFree(GroupId id, const Group& group) const {
    return group.state == GroupState::kServing && !group.operation && !changing_.contains(id);
  }
  // Where so many stores can hold one.
  size_t VotersWanted(GroupId id, size_t stores) const {
    // The controller is asked little and has to stand the most.
    uint64_t wanted = id == kControllerGroup ? 5 : state_.settings()[Setting::kReplicas];
    return VotersFor(wanted, stores);
  }
  void KeepUnreplaced(GroupId id, size_t left, size_t added, std::vector<Replica>* leaving) const;

  void RepairReplicas();
  void RepairReplicasOf(GroupId id, const Group& group);
  void CreateGroups();
  void BalanceReplicas();
  bool BalanceOne(StoreId from);
  void ShapeShards();
  void Change(GroupId id, const std::vector<StoreId>& added, const std::vector<Replica>& removed,
              std::string reason);

  const State& state_;
  const View& view_;
  Placement placement_;
  size_t changes_left_;
  size_t moves_left_;
  size_t shapings_left_;  // splits and merges
  std::set<GroupId> changing_;
  std::vector<Operation> operations_;
};

void Scheduler::Change(GroupId id, const std::vector<StoreId>& added,
                       const std::vector<Replica>& removed, std::string reason) {
  Operation o;
  o.kind = OperationKind::kChangeReplicas;
  o.group = id;
  o.reason = std::move(reason);
  for (StoreId store : added) {
    o.added.push_back({ReplicaId(), store});
    placement_.Add(store);
  }
  for (const Replica& r : removed) {
    o.removed.push_back(r.id);
    placement_.Remove(r.store);
  }
  operations_.push_back(std::move(o));
  changing_.insert(id);
  --changes_left_;
}

// Those that would lose most by one more loss first.
void Scheduler::RepairReplicas() {
  std::vector<std::pair<size_t, GroupId>> order;
  for (const auto& [id, group] : state_.groups()) {
    if (!IsFree(id, group) || !placement_.HasQuorum(group)) continue;
    size_t staying = 0;
    for (const Replica& r : group.replicas) staying += placement_.IsLeaving(r.store) ? 0 : 1;
    order.emplace_back(staying, id);
  }
  std::sort(order.begin(), order.end());
  for (const auto& [staying, id] : order) {
    if (changes_left_ == 0) return;
    RepairReplicasOf(id, *state_.FindGroup(id));
  }
}

// What leaves without anybody to come in its place would leave too few: it stays for now. But a
// store that is to be emptied is, if those that are up are as many as can be.
void Scheduler::KeepUnreplaced(GroupId id, size_t left, size_t added,
                               std::vector<Replica>* leaving) const {
  auto emptied = std::stable_partition(leaving->begin(), leaving->end(), [this](const Replica& r) {
    return state_.FindStore(r.store)->state != StoreState::kServing;
  });
  size_t enough = std::max<size_t>(VotersWanted(id, placement_.usable().size()), 1);
  auto to_empty = static_cast<size_t>(emptied - leaving->begin());
  size_t may_leave = left + added >= enough ? std::max(to_empty, added) : added;
  leaving->resize(std::min(leaving->size(), may_leave));
}

// Replaces the replicas of stores that leave, and comes closer to the number that is wanted.
void Scheduler::RepairReplicasOf(GroupId id, const Group& group) {
  std::vector<Replica> leaving;
  std::set<StoreId> stores = StoresOf(group);
  for (const Replica& r : group.replicas) {
    if (placement_.IsLeaving(r.store)) leaving.push_back(r);
  }
  size_t wanted = VotersWanted(id, placement_.staying());
  size_t left = group.replicas.size() - leaving.size();
  std::vector<StoreId> added;
  while (left + added.size() < wanted) {
    auto best = placement_.Best(stores);
    if (!best) break;
    stores.insert(*best);
    added.push_back(*best);
  }
  if (added.empty() && leaving.empty()) return;
  if (left + added.size() < std::max<size_t>(wanted, 1)) {
    KeepUnreplaced(id, left, added.size(), &leaving);
    if (added.empty() && leaving.empty()) return;
  }
  std::string reason =
      leaving.empty()
          ? absl::StrCat("repair: ", group.replicas.size(), " of ", wanted, " replicas")
          : absl::StrCat("repair: store ", leaving[0].store.value(), " is ",
                         state_.FindStore(leaving[0].store)->state == StoreState::kServing
                             ? "down"
                             : "leaving");
  Change(id, added, leaving, std::move(reason));
}

// As many as the cores of the stores that serve can lead.
void Scheduler::CreateGroups() {
  uint64_t cores = 0;
  for (StoreId id : placement_.usable()) cores += state_.FindStore(id)->cores;
  uint64_t wanted =
      std::min(std::max<uint64_t>(cores / state_.settings()[Setting::kCoresPerGroup], 1),
               state_.settings()[Setting::kGroupsMax]);
  uint64_t there = state_.groups().size() - 1;  // without the controller's
  size_t replicas = VotersFor(state_.settings()[Setting::kReplicas], placement_.usable().size());
  for (; there < wanted && changes_left_ > 0 && replicas > 0; ++there) {
    Operation o;
    o.kind = OperationKind::kCreateGroup;
    o.reason = absl::StrCat("growth: ", there, " of ", wanted, " groups");
    std::set<StoreId> stores;
    while (stores.size() < replicas) {
      StoreId best = *placement_.Best(stores);
      stores.insert(best);
      o.added.push_back({ReplicaId(), best});
      placement_.Add(best);
    }
    operations_.push_back(std::move(o));
    --changes_left_;
  }
}

// From the fullest store to one that is emptier even afterwards.
void Scheduler::BalanceReplicas() {
  bool moved = true;
  while (moved && changes_left_ > 0) {
    std::vector<StoreId> fullest(placement_.usable().begin(), placement_.usable().end());
    std::stable_sort(fullest.begin(), fullest.end(), [this](StoreId a, StoreId b) {
      return placement_.Fullness(a) > placement_.Fullness(b);
    });
    moved =
        std::any_of(fullest.begin(), fullest.end(), [this](StoreId s) { return BalanceOne(s); });
  }
}

bool Scheduler::BalanceOne(StoreId from) {
  for (const auto& [id, group] : state_.groups()) {
    if (!IsFree(id, group) || !placement_.HasQuorum(group)) continue;
    auto here = std::find_if(group.replicas.begin(), group.replicas.end(),
                             [from](const Replica& r) { return r.store == from; });
    if (here == group.replicas.end()) continue;
    std::set<StoreId> others = StoresOf(group);
    others.erase(from);
    auto best = placement_.Best(others);
    if (!best || *best == from) continue;
    // Else it would come back.
    if (placement_.FullnessWith(*best, 1) >= placement_.Fullness(from)) continue;
    Change(id, {*best}, {*here},
           absl::StrCat("balance: store ", from.value(), " has more replicas than store ",
                        best->value()));
    return true;
  }
  return false;
}

// Splits go before merges, and both before moves: what is moved should be the shards that stay.
void Scheduler::ShapeShards() {
  const Settings& settings = state_.settings();
  std::vector<Operation> shaping;
  if (view_.load != nullptr && settings[Setting::kAutoSplit] != 0)
    shaping = SplitShards(state_, *view_.load, shapings_left_);
  size_t left = shapings_left_ - shaping.size();
  if (view_.load != nullptr && settings[Setting::kAutoMerge] != 0 && left > 0) {
    for (Operation& o : MergeShards(state_, view_, left, moves_left_))
      shaping.push_back(std::move(o));
  }
  std::set<ShardId> taken;
  for (Operation& o : shaping) {
    if (!taken.insert(o.shard).second || (o.other && !taken.insert(o.other).second)) continue;
    if (o.kind == OperationKind::kMove) --moves_left_;
    operations_.push_back(std::move(o));
  }
  if (settings[Setting::kAutoBalance] == 0) return;
  for (Operation& o : BalanceShards(state_, view_, moves_left_, taken))
    operations_.push_back(std::move(o));
}

}  // namespace

size_t VotersFor(size_t wanted, size_t stores) {
  size_t most = std::min(wanted, stores);
  return most == 0 ? 0 : most - (most % 2 == 0 ? 1 : 0);
}

std::vector<OperationId> Hopeless(const State& state, const View& view) {
  Placement placement(state, view);
  std::vector<OperationId> found;
  for (const auto& [id, o] : state.operations()) {
    bool waits =
        o.phase == Phase::kRunning && (o.kind == OperationKind::kChangeReplicas ||
                                       (o.kind == OperationKind::kCreateGroup && !o.shard));
    if (!waits) continue;
    bool hopeless = std::any_of(o.added.begin(), o.added.end(),
                                [&](const Replica& r) { return !placement.IsUsable(r.store); });
    if (hopeless) found.push_back(id);
  }
  return found;
}

std::vector<Operation> Schedule(const State& state, const View& view) {
  return Scheduler(state, view).Run();
}

}  // namespace kvd::shardctrler
