// What the stores say of their shards, their leaders and themselves, as the controller's leader
// heard it: estimates, lost with its office, and told anew to the next one. Nothing that must be
// right depends on them. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "raft/runtime/time.h"
#include "shardctrler/state.h"

namespace kvd::shardctrler {

struct ShardReport {
  Epoch epoch;    // that it is about
  GroupId group;  // whose leader said so
  uint64_t bytes = 0;
  double reads = 0;       // a second
  double writes = 0;      // a second
  std::string split_key;  // that would halve it; empty: none, or it needs none
  bool by_load = false;   // which halves load, not bytes
  std::string hot_key;    // which takes most of the load; empty: none does
  uint32_t hot_percent = 0;

  double load() const { return reads + writes; }
  bool operator==(const ShardReport&) const = default;
};

struct Amounts {
  uint64_t bytes = 0;
  double load = 0;  // operations a second
};

// What they weigh beside others, where a shard without bytes and load weighs one.
double WeightOf(const Amounts& amounts);
inline double WeightOf(const ShardReport& report) {
  return 1 + WeightOf(Amounts{report.bytes, report.load()});
}

struct StoreReport {
  double sync_ms = 0;  // of its log, the mean since the last report
  uint64_t syncs = 0;
  std::map<StoreId, double> round_trip_ms;  // to the others, as its leaders measure
  uint64_t disk_free = 0;                   // bytes
  uint64_t disk_size = 0;
  bool disk_low = false;  // it takes in no data
};

class ClusterLoad {
 public:
  void Note(ShardId id, ShardReport report);
  // Null if nobody told.
  const ShardReport* Find(ShardId id) const;
  Amounts Of(GroupId group) const;
  Amounts total() const { return total_; }
  // Those that somebody thinks should be split.
  const std::set<ShardId>& splittable() const { return splittable_; }
  // Of a group's shards, as far as they were told, by weight. One may be the group's no more.
  using Ranked = absl::btree_set<std::pair<double, ShardId>>;
  const Ranked& RankedOf(GroupId group) const;
  // Those that are asked most often, at most `most`, the busiest first. None that is asked nothing.
  std::vector<ShardId> Busiest(size_t most) const;
  // Moves and merges that are over: whose a shard is now, and that it is no more.
  void Follow(const State& state);
  // Rises with each change of what is known of shards, of who leads, or of which stores are slow.
  uint64_t version() const { return version_; }

  // What the store leads, all of it.
  void NoteLeads(StoreId store, const std::set<GroupId>& groups);
  // It was asked to hand the group over.
  void NoteTransfer(GroupId group, StoreId to);
  // 0: nobody said that it leads.
  StoreId LeaderOf(GroupId group) const;
  const std::map<GroupId, StoreId>& leaders() const { return leaders_; }
  // How many groups the store leads.
  size_t LeadsOf(StoreId store) const;

  // About once a second for each store.
  void Note(StoreId id, const StoreReport& report);
  // Null if it never told.
  const StoreReport* Find(StoreId id) const;
  // Whether its disk, or the way to it, is slow beside those of the others, for some seconds.
  bool IsSlow(StoreId id) const;
  // In words; empty if it is not.
  std::string WhySlow(StoreId id) const;
  // It was not heard of for long: it leads nothing, and is compared with nobody.
  void Forget(StoreId id);

  void Clear();

 private:
  struct StoreEntry {
    StoreReport report;
    int bad = 0;   // reports in a row
    int good = 0;  // since it was slow
    bool slow = false;
    std::string why;
  };

  struct GroupEntry {
    Amounts amounts;
    Ranked shards;
  };

  void Count(ShardId id, const ShardReport& report, int sign);
  void Drop(ShardId id);
  void FollowMerge(const State& state, const Operation& merge);
  void FollowMove(const State& state, const Operation& move);
  void Sweep(const State& state);
  std::string Judge(StoreId id) const;
  std::string JudgeWay(StoreId id) const;
  void ForgetWays(StoreId from);
  void SetLeader(GroupId group, StoreId store);
  void CountLead(StoreId store, int more);

  absl::flat_hash_map<ShardId, ShardReport> shards_;
  std::map<GroupId, GroupEntry> groups_;
  Ranked busy_;  // by load, those that have any
  Amounts total_;
  std::set<ShardId> splittable_;
  std::map<GroupId, StoreId> leaders_;
  std::map<StoreId, size_t> leads_;  // of leaders_; none is 0
  std::map<StoreId, StoreEntry> stores_;
  // What each takes to get to, as others measure it: {to, from}.
  std::map<StoreId, std::map<StoreId, double>> ways_;
  uint64_t version_ = 1;
  // Versions of the state and of this that were followed last.
  std::pair<uint64_t, uint64_t> followed_;
  GroupId sweep_from_;
  size_t sweeps_left_ = 0;  // until all groups have been looked at since
};

}  // namespace kvd::shardctrler
