// What must hold of a cluster at every moment, checked while it is simulated (thesis, figure 3.2,
// and design, 4 to 6). A broken invariant aborts with what it saw.
#pragma once

#include <map>
#include <string>

#include "tests/sim/sim_store.h"

namespace kvd::sim {

class Invariants {
 public:
  // After each turn of a store's host.
  void AfterTurn(SimStore& store);
  // For each entry a store applies.
  void Applied(SimStore& store, const raft::Entry& entry, const shard::CommandResult& result);
  // After each event: over all stores at one instant.
  void CheckLeases(const std::map<StoreId, std::unique_ptr<SimStore>>& stores) const;
  // After each event: replicas that answer each other without end are no cluster at work.
  void CheckPace(MonotonicTime now);

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
  MonotonicTime second_ends_ = kLongAgo;
  uint64_t events_in_second_ = 0;
};

}  // namespace kvd::sim
