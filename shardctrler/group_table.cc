#include "shardctrler/group_table.h"

#include "proto/check.h"

namespace kvd::shardctrler {
namespace {

bool Serves(GroupId id, const Group& group) {
  return id != kControllerGroup && group.state == GroupState::kServing;
}

}  // namespace

const Group* GroupTable::Find(GroupId id) const {
  auto it = groups_.find(id);
  return it == groups_.end() ? nullptr : &it->second;
}

const GroupTable::Ids& GroupTable::On(StoreId store) const {
  static const Ids none;
  auto it = by_store_.find(store);
  return it == by_store_.end() ? none : it->second;
}

void GroupTable::Put(GroupId id, const Group& group) {
  auto [it, added] = groups_.try_emplace(id);
  if (!added) Forget(id, it->second);
  it->second = group;
  Note(id, group);
}

void GroupTable::Erase(GroupId id) {
  auto it = groups_.find(id);
  KVD_CHECK(it != groups_.end());
  Forget(id, it->second);
  groups_.erase(it);
}

void GroupTable::SetOperation(GroupId id, OperationId operation) {
  auto it = groups_.find(id);
  if (it != groups_.end()) it->second.operation = operation;
}

void GroupTable::Note(GroupId id, const Group& group) {
  for (const Replica& r : group.replicas) by_store_[r.store].insert(id);
  by_size_[group.replicas.size()].insert(id);
  serving_ += Serves(id, group) ? 1 : 0;
}

void GroupTable::Forget(GroupId id, const Group& group) {
  for (const Replica& r : group.replicas) {
    auto here = by_store_.find(r.store);
    here->second.erase(id);
    if (here->second.empty()) by_store_.erase(here);
  }
  auto size = by_size_.find(group.replicas.size());
  size->second.erase(id);
  if (size->second.empty()) by_size_.erase(size);
  serving_ -= Serves(id, group) ? 1 : 0;
}

void GroupTable::CheckState() const {
  size_t replicas = 0, serving = 0, sized = 0, placed = 0;
  for (const auto& [id, group] : groups_) {
    for (const Replica& r : group.replicas) KVD_CHECK(On(r.store).contains(id));
    KVD_CHECK(by_size_.at(group.replicas.size()).contains(id));
    replicas += group.replicas.size();
    serving += Serves(id, group) ? 1 : 0;
  }
  for (const auto& [store, ids] : by_store_) placed += ids.size();
  for (const auto& [size, ids] : by_size_) sized += ids.size();
  KVD_CHECK(placed == replicas && sized == groups_.size() && serving == serving_);
}

}  // namespace kvd::shardctrler
