#include <algorithm>

#include "absl/strings/str_cat.h"
#include "shardctrler/replica_round.h"

namespace kvd::shardctrler {
namespace {

// Above it some are dropped: a fourth of four costs without standing one loss more, while two are
// worth more than one.
size_t MostVoters(size_t wanted) { return std::max<size_t>(wanted, 3); }

}  // namespace

// Those that have a replica on a store that leaves, too few, or too many: of thousands, all others
// are well.
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
  const auto& sizes = state_.group_table().by_size();
  for (auto it = sizes.upper_bound(MostVoters(wanted)); it != sizes.end(); ++it) {
    ids.insert(ids.end(), it->second.begin(), it->second.end());
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

// As many as `voters` stay.
void Replicas::DropSurplus(const Group& group, size_t voters, std::vector<Replica>* leaving) const {
  std::vector<StoreId> stores = StoresOf(group);
  for (const Replica& r : *leaving) std::erase(stores, r.store);
  while (stores.size() > voters) {
    StoreId spare = placement_.Worst(stores);
    std::erase(stores, spare);
    leaving->push_back(*std::find_if(group.replicas.begin(), group.replicas.end(),
                                     [spare](const Replica& r) { return r.store == spare; }));
  }
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
  if (left > MostVoters(wanted)) DropSurplus(group, MostVoters(wanted), &leaving);
  if (added.empty() && leaving.empty()) return;
  if (left + added.size() < std::max<size_t>(wanted, 1)) {
    KeepUnreplaced(id, left, added.size(), &leaving);
    if (added.empty() && leaving.empty()) return;
  }
  std::string reason =
      leaving.empty() || !placement_.IsLeaving(leaving[0].store)
          ? absl::StrCat("repair: ", group.replicas.size(), " of ", wanted, " replicas")
          : absl::StrCat("repair: store ", leaving[0].store.value(), " is ",
                         state_.FindStore(leaving[0].store)->state == StoreState::kServing
                             ? "down"
                             : "leaving");
  Change(id, added, leaving, std::move(reason));
}

}  // namespace kvd::shardctrler
