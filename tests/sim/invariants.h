// What must hold of a cluster at every moment, checked while it is simulated (thesis, figure 3.2,
// and design, 4 to 6). A broken invariant aborts with what it saw.
#pragma once

#include <map>
#include <string>

#include "tests/sim/sim_store.h"

namespace kvd::sim {

class Invariants {
 public:
  explicit Invariants(uint64_t seed) : read_random_(seed) {}

  // After each turn of a store's host.
  void AfterTurn(SimStore& store);
  // After each turn as well: what the row cache holds is in the engine, and a read through it gives
  // what the engine gives. Such a read fills it, on followers too.
  void CheckRows(SimStore& store);
  // For each entry a store applies.
  void Applied(SimStore& store, const raft::Entry& entry, const shard::CommandResult& result);
  // After each event: over all stores at one instant.
  void CheckLeases(const std::map<StoreId, std::unique_ptr<SimStore>>& stores) const;
  // After each event: replicas that answer each other without end are no cluster at work.
  void CheckPace(MonotonicTime now);

  // Of its own reads, those that the row cache answered.
  uint64_t cached_reads() const { return cached_reads_; }
  Index highest_applied() const { return applied_.empty() ? Index() : applied_.rbegin()->first; }

 private:
  struct AppliedEntry {
    Term term;
    Term seen_in;  // of the replica that applied it first: at least the one it was committed in
    uint32_t data_crc;
    uint32_t result_crc;
  };
  std::map<Term, ReplicaId> leaders_;
  std::map<Index, AppliedEntry> applied_;
  std::map<StoreId, Term> led_checked_;
  // Up to where a start of a store had applied when its rows were checked last.
  std::map<StoreId, std::pair<uint64_t, Index>> rows_checked_;
  Random read_random_;  // of its own: what is drawn for faults stays the same
  uint64_t cached_reads_ = 0;
  MonotonicTime second_ends_ = kLongAgo;
  uint64_t events_in_second_ = 0;
};

}  // namespace kvd::sim
