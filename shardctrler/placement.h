// Where replicas are and will be once what is open is done, and which store should get the next
// one. Pure. Private to the scheduler.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "shardctrler/scheduler.h"

namespace kvd::shardctrler {

// What counts of how long a store was silent, and of how it does.
enum StoreClass : uint8_t {
  kSilentStore = 1,  // for so long that it may not be there
  kDownStore = 2,    // for so long that its replicas are replaced
  kSlowStore = 4,
};
// Of each store, in the order of their ids, a union of these.
std::vector<uint8_t> ClassesOf(const State& state, const View& view);

class Placement {
 public:
  Placement(const State& state, const View& view);

  // Serves, and is not down.
  bool IsUsable(StoreId store) const { return usable_.contains(store); }
  // Its replicas are to go elsewhere: it drains, is gone, or is down for too long.
  bool IsLeaving(StoreId store) const { return leaving_.contains(store); }
  const std::set<StoreId>& usable() const { return usable_; }
  const std::set<StoreId>& leaving() const { return leaving_; }
  // Stores that belong to the cluster for good, whether or not they are up.
  size_t staying() const { return staying_; }

  // Whether most of the group's replicas are on stores that may be heard of: else no change of its
  // replicas can be decided.
  bool HasQuorum(const Group& group) const;

  // The store that should get a replica of a group that is on `stores`: none that is slow, if
  // there is another one; in the zone with fewest of them, then with fewest replicas for its cores.
  // Nothing if there is none. Takes time by the number of zones.
  std::optional<StoreId> Best(const std::vector<StoreId>& stores) const;
  // Of the stores that a group is on the one that it can best do without: one that is silent, else
  // slow, else in the zone with most of them, else the fullest. Requires: there is one.
  StoreId Worst(const std::vector<StoreId>& stores) const;
  void Add(StoreId store) { Count(store, +1); }
  void Remove(StoreId store) { Count(store, -1); }

  // Replicas for each core.
  double Fullness(StoreId store) const { return FullnessWith(store, 0); }
  // How full the store would be with one more, or one less.
  double FullnessWith(StoreId store, int more) const;
  // Of those that are usable: how full the emptiest one would be with one more; nothing if there
  // are none.
  std::optional<double> LeastFullWithOne() const;

 private:
  // A number for each zone's name, 0: none.
  using Zone = uint32_t;
  struct Place {
    Zone zone = 0;
    bool slow = false;
    uint32_t cores = 1;
    int64_t replicas = 0;
  };
  // Stores that can be chosen, and differ only by how full they would be with one more.
  struct Alike {
    bool slow = false;
    Zone zone = 0;
    auto operator<=>(const Alike&) const = default;
  };
  using Order = absl::btree_set<std::pair<double, StoreId>>;

  void Count(StoreId store, int more);
  // Stores that name no zone share none.
  size_t InZone(Zone zone, const std::vector<StoreId>& stores) const;

  absl::flat_hash_map<StoreId, Place> places_;
  std::map<Alike, Order> orders_;
  std::set<StoreId> usable_;
  std::set<StoreId> leaving_;
  absl::flat_hash_set<StoreId> silent_;
  size_t staying_ = 0;
};

}  // namespace kvd::shardctrler
