// What is being decided about replicas in one round: changes of them, and new groups. Private to
// replicas.h.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "shardctrler/placement.h"

namespace kvd::shardctrler {

inline std::vector<StoreId> StoresOf(const Group& group) {
  std::vector<StoreId> stores;
  for (const Replica& r : group.replicas) stores.push_back(r.store);
  return stores;
}

class Replicas {
 public:
  Replicas(const State& state, const View& view, size_t most)
      : state_(state), placement_(state, view), left_(most) {}

  std::vector<Operation> Run();

 private:
  bool IsFree(GroupId id, const Group& group) const {
    return group.state == GroupState::kServing && !group.operation && !changing_.contains(id);
  }
  // Where so many stores can hold one.
  size_t VotersWanted(GroupId id, size_t stores) const;

  // replica_repair.cc
  std::vector<GroupId> ToRepair() const;
  void Repair();
  void RepairOne(GroupId id, const Group& group);
  void KeepUnreplaced(GroupId id, size_t left, size_t added, std::vector<Replica>* leaving) const;
  void DropSurplus(const Group& group, size_t voters, std::vector<Replica>* leaving) const;
  // replica_balance.cc
  void BalanceStores();
  bool BalanceOne(StoreId from);

  void CreateGroups();
  void Change(GroupId id, const std::vector<StoreId>& added, const std::vector<Replica>& removed,
              std::string reason);

  const State& state_;
  Placement placement_;
  size_t left_;  // changes that may still be begun
  std::set<GroupId> changing_;
  std::vector<Operation> operations_;
};

}  // namespace kvd::shardctrler
