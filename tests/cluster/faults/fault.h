// A kind of fault: how the cluster is set up for it, how it is inflicted and how it is healed. To
// add one, write a class here and a row in registry.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "raft/runtime/random.h"
#include "tests/cluster/fault_cluster.h"

namespace kvd {

// What a fault may want of a run before it starts.
struct RunSetup {
  std::string name;       // unique on the machine
  std::string directory;  // of the run's files
  ClusterSetup cluster;
  size_t filler_bytes_max = 0;  // of the load's values
};

// Inject and Heal are called in turn; what they choose comes from `random` alone. After Heal the
// run starts what does not run, so a fault need not.
class Fault {
 public:
  virtual ~Fault() = default;
  virtual void SetUp(RunSetup* /*setup*/) {}
  virtual void Inject(FaultCluster& cluster, Random& random) = 0;
  virtual void Heal(FaultCluster& cluster, Random& random) = 0;
  // Between the two: whether it has struck, for one that waits for its occasion. A run in which it
  // never does has shown nothing, and fails.
  virtual bool HasStruck() const { return true; }
};

struct FaultKind {
  const char* name;
  // How it is done, and what is expected while and after: one line each.
  const char* how;
  const char* expected;
  // Two healthy stores that reach each other and the clients stay at all times: acknowledged writes
  // are never further apart than the time allowed for progress.
  bool quorum_stays;
  // How long it is held, in milliseconds.
  uint64_t hold_ms_min;
  uint64_t hold_ms_max;
  std::unique_ptr<Fault> (*make)();
  // No store reaches a majority while it is held: nothing may be acknowledged.
  bool nothing_commits = false;
};

// Every kind that there is, in the order of the list.
const std::vector<FaultKind>& FaultKinds();
// Null if there is none of that name.
const FaultKind* FindFaultKind(const std::string& name);

// For faults: the place of some store that runs, and of one that does not lead. While none runs,
// any.
int AnyStore(const FaultCluster& cluster, Random& random);
int Follower(const FaultCluster& cluster, Random& random);
// The leader, or any store if none is known.
int LeaderOrAny(const FaultCluster& cluster, Random& random);

// Each in the file of its theme.
std::vector<FaultKind> ProcessFaults();
std::vector<FaultKind> NetworkFaults();
std::vector<FaultKind> DiskFaults();
std::vector<FaultKind> PowerFaults();
std::vector<FaultKind> LimitFaults();
std::vector<FaultKind> ClientFaults();
std::vector<FaultKind> MemberFaults();
std::vector<FaultKind> Storms();

template <typename T>
std::unique_ptr<Fault> MakeFault() {
  return std::make_unique<T>();
}

}  // namespace kvd
