// Where replicas are and will be once what is open is done, and which store should get the next
// one. Pure. Private to the scheduler.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shardctrler/scheduler.h"

namespace kvd::shardctrler {

class Placement {
 public:
  Placement(const State& state, const View& view);

  // Serves, and is not down.
  bool IsUsable(StoreId store) const { return usable_.contains(store); }
  // Its replicas are to go elsewhere: it drains, is gone, or is down for too long.
  bool IsLeaving(StoreId store) const { return leaving_.contains(store); }
  const std::set<StoreId>& usable() const { return usable_; }
  // Stores that belong to the cluster for good, whether or not they are up.
  size_t staying() const { return staying_; }

  // Whether most of the group's replicas are on stores that may be heard of: else no change of its
  // replicas can be decided.
  bool HasQuorum(const Group& group) const;

  // The store that should get a replica of a group that is on `stores`: none that is slow, if
  // there is another one; in the zone with fewest of them, then with fewest replicas for its cores.
  // Nothing if there is none.
  std::optional<StoreId> Best(const std::set<StoreId>& stores) const;
  void Add(StoreId store) { ++replicas_[store]; }
  void Remove(StoreId store) { --replicas_[store]; }

  // Replicas for each core.
  double Fullness(StoreId store) const;
  // How full the store would be with one more, or one less.
  double FullnessWith(StoreId store, int more) const;

 private:
  const std::string& ZoneOf(StoreId store) const;
  size_t InZone(const std::string& zone, const std::set<StoreId>& stores) const;

  const State& state_;
  std::set<StoreId> usable_;
  std::set<StoreId> leaving_;
  std::set<StoreId> silent_;
  std::set<StoreId> slow_;
  std::map<StoreId, std::string> zones_;
  size_t staying_ = 0;
  std::map<StoreId, int64_t> replicas_;
};

}  // namespace kvd::shardctrler
