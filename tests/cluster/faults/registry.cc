#include "tests/cluster/faults/fault.h"

namespace kvd {

const std::vector<FaultKind>& FaultKinds() {
  static const std::vector<FaultKind> kinds = [] {
    std::vector<FaultKind> all;
    for (auto theme : {ProcessFaults(), NetworkFaults(), DiskFaults(), PowerFaults(), LimitFaults(),
                       ClientFaults(), MemberFaults(), Storms()}) {
      all.insert(all.end(), theme.begin(), theme.end());
    }
    return all;
  }();
  return kinds;
}

const FaultKind* FindFaultKind(const std::string& name) {
  for (const FaultKind& kind : FaultKinds()) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

int AnyStore(const FaultCluster& cluster, Random& random) {
  bool none = true;
  for (int n = 1; n <= cluster.size(); ++n) none = none && !cluster.Running(n);
  int n = 0;
  do {
    n = static_cast<int>(random.Between(1, static_cast<uint64_t>(cluster.size())));
  } while (!none && !cluster.Running(n));
  return n;
}

int LeaderOrAny(const FaultCluster& cluster, Random& random) {
  int leader = cluster.Leader();
  return leader != 0 ? leader : AnyStore(cluster, random);
}

int Follower(const FaultCluster& cluster, Random& random) {
  int leader = cluster.Leader();
  int n = AnyStore(cluster, random);
  // It may be the last one that runs.
  for (int i = 0; i < 100 && n == leader; ++i) n = AnyStore(cluster, random);
  return n;
}

}  // namespace kvd
