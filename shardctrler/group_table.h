// The groups, and which of them are where: what the scheduler asks of thousands of groups is looked
// up, not searched for. Pure.
#pragma once

#include <map>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "shardctrler/types.h"

namespace kvd::shardctrler {

class GroupTable {
 public:
  using Map = std::map<GroupId, Group>;
  using Ids = absl::btree_set<GroupId>;

  const Map& all() const { return groups_; }
  // Null if there is none.
  const Group* Find(GroupId id) const;
  // Those that have a replica on the store.
  const Ids& On(StoreId store) const;
  // By how many replicas they have; none is empty.
  const std::map<size_t, Ids>& by_size() const { return by_size_; }
  // Data groups that serve.
  size_t serving() const { return serving_; }

  // Adds a group or replaces the one of this id.
  void Put(GroupId id, const Group& group);
  // Requires: there is one.
  void Erase(GroupId id);
  // No group: nothing happens.
  void SetOperation(GroupId id, OperationId operation);

  // Fails the process if what belongs together does not.
  void CheckState() const;

 private:
  void Note(GroupId id, const Group& group);
  void Forget(GroupId id, const Group& group);

  Map groups_;
  absl::flat_hash_map<StoreId, Ids> by_store_;  // none is empty
  std::map<size_t, Ids> by_size_;
  size_t serving_ = 0;
};

}  // namespace kvd::shardctrler
