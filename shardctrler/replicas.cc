#include "shardctrler/replicas.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "shardctrler/placement.h"

namespace kvd::shardctrler {
namespace {

std::vector<StoreId> StoresOf(const Group& group) {
  std::vector<StoreId> stores;
  for (const Replica& r : group.replicas) stores.push_back(r.store);
  return stores;
}

class Replicas {
 public:
  Replicas(const State& state, const View& view, size_t most)
      : state_(state), placement_(state, view), left_(most) {}

  std::vector<Operation> Run() {
    Repair();
    CreateGroups();
    if (state_.settings()[Setting::kAutoBalance] != 0) BalanceStores();
    return std::move(operations_);
  }

 private:
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

  std::vector<GroupId> ToRepair() const;
  void Repair();
  void RepairOne(GroupId id, const Group& group);
  void CreateGroups();
  void BalanceStores();
  bool BalanceOne(StoreId from);
  void Change(GroupId id, const std::vector<StoreId>& added, const std::vector<Replica>& removed,
              std::string reason);

  const State& state_;
  Placement placement_;
  size_t left_;  // changes that may still be begun
  std::set<GroupId> changing_;
  std::vector<Operation> operations_;
};

void Replicas::Change(GroupId id, const std::vector<StoreId>& added,
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
  --left_;
}

// Those that have a replica on a store that leaves, or too few: of thousands, all others are well.
std::vector<GroupId> Replicas::ToRepair() const {
  std::vector<GroupId> ids = {kControllerGroup};
  for (StoreId store : placement_.leaving()) {
    const GroupTable::Ids& here = state_.group_table().On(store);
    ids.insert(ids.end(), here.begin(), here.end());
  }
  size_t wanted = VotersWanted(kControllerGroup + 1, placement_.staying());
  for (const auto& [size, groups] : state_.group_table().by_size()) {
    if (size >= wanted) break;
    ids.insert(ids.end(), groups.begin(), groups.end());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// Those that would lose most by one more loss first.
void Replicas::Repair() {
  struct Need {
    size_t staying;
    GroupId id;
    const Group* group;
  };
  std::vector<Need> needs;
  for (GroupId id : ToRepair()) {
    const Group* group = state_.FindGroup(id);
    if (!IsFree(id, *group) || !placement_.HasQuorum(*group)) continue;
    size_t staying = 0;
    for (const Replica& r : group->replicas) staying += placement_.IsLeaving(r.store) ? 0 : 1;
    needs.push_back({staying, id, group});
  }
  std::sort(needs.begin(), needs.end(), [](const Need& a, const Need& b) {
    return std::pair(a.staying, a.id) < std::pair(b.staying, b.id);
  });
  for (const Need& need : needs) {
    if (left_ == 0) return;
    RepairOne(need.id, *need.group);
  }
}

// What leaves without anybody to come in its place would leave too few: it stays for now. But a
// store that is to be emptied is, if those that are up are as many as can be.
void Replicas::KeepUnreplaced(GroupId id, size_t left, size_t added,
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
void Replicas::RepairOne(GroupId id, const Group& group) {
  std::vector<Replica> leaving;
  std::vector<StoreId> stores = StoresOf(group);
  for (const Replica& r : group.replicas) {
    if (placement_.IsLeaving(r.store)) leaving.push_back(r);
  }
  size_t wanted = VotersWanted(id, placement_.staying());
  size_t left = group.replicas.size() - leaving.size();
  std::vector<StoreId> added;
  while (left + added.size() < wanted) {
    auto best = placement_.Best(stores);
    if (!best) break;
    stores.push_back(*best);
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
void Replicas::CreateGroups() {
  uint64_t cores = 0;
  for (StoreId id : placement_.usable()) cores += state_.FindStore(id)->cores;
  uint64_t wanted =
      std::min(std::max<uint64_t>(cores / state_.settings()[Setting::kCoresPerGroup], 1),
               state_.settings()[Setting::kGroupsMax]);
  uint64_t there = state_.groups().size() - 1;  // without the controller's
  size_t replicas = VotersFor(state_.settings()[Setting::kReplicas], placement_.usable().size());
  for (; there < wanted && left_ > 0 && replicas > 0; ++there) {
    Operation o;
    o.kind = OperationKind::kCreateGroup;
    o.reason = absl::StrCat("growth: ", there, " of ", wanted, " groups");
    std::vector<StoreId> stores;
    while (stores.size() < replicas) {
      StoreId best = *placement_.Best(stores);
      stores.push_back(best);
      o.added.push_back({ReplicaId(), best});
      placement_.Add(best);
    }
    operations_.push_back(std::move(o));
    --left_;
  }
}

// From the fullest store to one that is emptier even afterwards. Who has nothing to give is not
// asked again: others only get fuller meanwhile.
void Replicas::BalanceStores() {
  using Fullness = std::pair<double, StoreId>;
  std::set<Fullness> fullest;
  for (StoreId id : placement_.usable()) fullest.emplace(-placement_.Fullness(id), id);
  while (!fullest.empty() && left_ > 0) {
    auto [fullness, from] = *fullest.begin();
    // Nor has anybody who is emptier.
    if (*placement_.LeastFullWithOne() >= -fullness) return;
    fullest.erase(fullest.begin());
    if (BalanceOne(from)) fullest.emplace(-placement_.Fullness(from), from);
  }
}

bool Replicas::BalanceOne(StoreId from) {
  for (GroupId id : state_.group_table().On(from)) {
    const Group& group = *state_.FindGroup(id);
    if (!IsFree(id, group) || !placement_.HasQuorum(group)) continue;
    auto here = std::find_if(group.replicas.begin(), group.replicas.end(),
                             [from](const Replica& r) { return r.store == from; });
    std::vector<StoreId> others = StoresOf(group);
    std::erase(others, from);
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

}  // namespace

size_t VotersFor(size_t wanted, size_t stores) {
  size_t most = std::min(wanted, stores);
  return most == 0 ? 0 : most - (most % 2 == 0 ? 1 : 0);
}

std::vector<Operation> PlaceReplicas(const State& state, const View& view, size_t most) {
  return Replicas(state, view, most).Run();
}

std::vector<OperationId> Hopeless(const State& state, const View& view) {
  std::vector<OperationId> found;
  std::optional<Placement> placement;  // made only where something waits
  for (const auto& [id, o] : state.operations()) {
    bool waits =
        o.phase == Phase::kRunning && (o.kind == OperationKind::kChangeReplicas ||
                                       (o.kind == OperationKind::kCreateGroup && !o.shard));
    if (!waits) continue;
    if (!placement) placement.emplace(state, view);
    bool hopeless = std::any_of(o.added.begin(), o.added.end(),
                                [&](const Replica& r) { return !placement->IsUsable(r.store); });
    if (hopeless) found.push_back(id);
  }
  return found;
}

}  // namespace kvd::shardctrler
