// A controller of many stores, groups and shards, without a cluster: what it decides is carried out
// as soon as it is begun, and what that moved is counted. Deterministic.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "shardctrler/machine.h"
#include "shardctrler/planner.h"

namespace kvd::shardctrler {

struct LargeOptions {
  uint64_t zones = 4;
  uint64_t stores = 1'000;  // of 32 cores each
  uint64_t groups = 8'000;  // of data, as many as the cores want
  uint64_t shards = 1'000'000;
  uint64_t changes_at_once = 100;
  uint64_t moves_at_once = 200;
  uint64_t shard_bytes = 0;  // of each, which is asked nothing then; 0: they differ
};

// What some decisions took and did.
struct Effort {
  uint64_t decisions = 0;
  double cpu_ms = 0;  // of the decisions alone
  double cpu_ms_max = 0;
  uint64_t replicas = 0;  // that were added
  uint64_t replica_bytes = 0;
  uint64_t moves = 0;  // of shards
  uint64_t moved_bytes = 0;
  uint64_t others = 0;       // operations of other kinds
  uint64_t moved_again = 0;  // moves of a shard that had moved before

  std::string ToString() const;
};

class LargeCluster {
 public:
  // At rest: each group has replicas in three zones, and as many shards, bytes and load as another.
  explicit LargeCluster(const LargeOptions& options);

  const State& state() const { return machine_.state(); }
  ClusterLoad& load() { return load_; }
  const ClusterLoad& load() const { return load_; }
  const Planner& planner() const { return planner_; }

  // No store of the zone is heard of any more, for long: these.
  std::set<StoreId> Lose(uint64_t zone);
  // Stores that are new.
  void Join(uint64_t zone, uint64_t count);
  // One decision more, and all that is open goes on by one phase. Whether there is, or will be,
  // anything to do.
  bool Turn(Effort* effort);
  // Turns until there is nothing left to do. Fails the process if that never comes.
  Effort Settle();

  // Bytes of all shards of the groups that have a replica there, once for each replica.
  uint64_t BytesOn(StoreId store) const;
  std::map<StoreId, uint64_t> ReplicaCounts() const;
  uint64_t Replicas() const;
  // Bytes of memory in use for what the controller knows: its state, and what stores told.
  uint64_t state_bytes() const { return state_bytes_; }
  uint64_t load_bytes() const { return load_bytes_; }

 private:
  void Apply(const Command& command);
  void Build();
  void Tell();
  void Open(Effort* effort);
  void Step();

  const LargeOptions options_;
  Machine machine_;
  ClusterLoad load_;
  Dwelling dwelling_;
  View view_;
  Planner planner_;
  MonotonicTime clock_;
  Index index_{1'000'000};
  Timestamp now_{1'000'000};
  uint64_t next_store_ = 0;
  std::map<ShardId, uint64_t> moved_;  // how often
  uint64_t state_bytes_ = 0;
  uint64_t load_bytes_ = 0;
};

}  // namespace kvd::shardctrler
