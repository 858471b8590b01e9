// What happened in simulated clusters that look after themselves.
#pragma once

#include <cstdint>
#include <string>

namespace kvd::sim {

// Each counts something that must happen at least once over many seeds.
struct WorldReport {
  uint64_t events = 0;
  uint64_t operations = 0;  // of clients
  uint64_t unknown = 0;
  uint64_t refused = 0;  // as disks are full
  uint64_t crashes = 0;
  uint64_t cuts = 0;
  uint64_t pauses = 0;
  uint64_t messages_lost = 0;
  uint64_t messages_doubled = 0;
  uint64_t messages_late = 0;
  uint64_t clock_jumps = 0;
  uint64_t clock_rates = 0;    // changed while the clock ran
  uint64_t clocks_adrift = 0;  // seeds whose clocks drift further than leases allow for
  uint64_t disks_slow = 0;
  uint64_t disks_filled = 0;
  uint64_t engines_stalled = 0;
  uint64_t states_lost = 0;
  uint64_t states_damaged = 0;
  uint64_t states_rebuilt = 0;
  uint64_t logs_damaged = 0;
  uint64_t verifications = 0;
  uint64_t disks_lost = 0;
  uint64_t stores_back = 0;       // at the address of one whose disk was lost
  uint64_t stores_elsewhere = 0;  // in the stead of one whose disk was lost, at another address
  uint64_t stores_given_up = 0;   // by an operator, while they had replicas
  uint64_t stores_replaced = 0;   // as they were silent for long
  uint64_t moved = 0;
  uint64_t split = 0;
  uint64_t merged = 0;
  uint64_t cancelled = 0;
  uint64_t groups_made = 0;
  uint64_t replica_changes = 0;
  uint64_t drained = 0;
  uint64_t scans = 0;
  uint64_t multi_gets = 0;
  uint64_t reads_after_writes = 0;  // scans and multi-gets that had to see a certain write
  uint64_t load_splits = 0;
  uint64_t small_merges = 0;

  std::string ToString() const;
  // What did not happen at all; empty if everything did.
  std::string Missing() const;
  WorldReport& operator+=(const WorldReport& other);
};

}  // namespace kvd::sim
