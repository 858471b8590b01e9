// Links that are cut, lossy, slow, or that reorder, repeat and damage what they carry.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/cluster/faults/fault.h"

namespace kvd {
namespace {

// Heals by putting the network back as it was.
class NetworkFault : public Fault {
 public:
  void Heal(FaultCluster& cluster, Random&) override { cluster.network().HealAll(); }
};

// Two different places.
std::pair<int, int> TwoStores(const FaultCluster& cluster, Random& random) {
  int a = AnyStore(cluster, random);
  auto stores = static_cast<uint64_t>(cluster.size());
  int b = (a - 1 + static_cast<int>(random.Between(1, stores - 1))) % cluster.size() + 1;
  return {a, b};
}

class PartitionPair : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    auto [a, b] = TwoStores(cluster, random);
    cluster.Note(absl::StrCat("stores ", a, " and ", b, " are cut off from each other"));
    cluster.network().CutBoth(a, b);
  }
};

class PartitionOneWay : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    auto [a, b] = TwoStores(cluster, random);
    cluster.Note(absl::StrCat("store ", b, " does not hear store ", a));
    cluster.network().Cut(a, b);
  }
};

// Clients still reach it: it must not answer from what it remembers.
class IsolateLeader : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    int n = LeaderOrAny(cluster, random);
    cluster.Note(absl::StrCat("store ", n, " is cut off"));
    cluster.network().Isolate(n);
  }
};

class CutEverything : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random&) override {
    for (int n = 1; n <= cluster.size(); ++n) {
      for (int other = n + 1; other <= cluster.size(); ++other) cluster.network().CutBoth(n, other);
    }
  }
};

// Links are cut one by one and come back in another order.
class Swizzle : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    for (int a = 1; a <= cluster.size(); ++a) {
      for (int b = 1; b <= cluster.size(); ++b) {
        if (a != b) links_.emplace_back(a, b);
      }
    }
    Shuffle(random);
    for (auto [a, b] : links_) {
      cluster.network().Cut(a, b);
      Wait(cluster, random);
    }
  }
  void Heal(FaultCluster& cluster, Random& random) override {
    Shuffle(random);
    for (auto [a, b] : links_) {
      cluster.network().Heal(a, b);
      Wait(cluster, random);
    }
    links_.clear();
  }

 private:
  void Shuffle(Random& random) {
    for (size_t i = links_.size(); i > 1; --i) std::swap(links_[i - 1], links_[random.Below(i)]);
  }
  static void Wait(FaultCluster& cluster, Random& random) {
    auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(random.Below(300));
    Await(
        [&] {
          cluster.Poll();
          return std::chrono::steady_clock::now() >= end;
        },
        1);
  }

  std::vector<std::pair<int, int>> links_;
};

class Loss : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    double share = static_cast<double>(random.Between(2, 25)) / 100;
    cluster.Note(absl::StrCat("every store loses ", share, " of what it is sent"));
    for (int n = 1; n <= cluster.size(); ++n) cluster.network().Lose(n, share);
  }
};

class Resets : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    int n = AnyStore(cluster, random);
    cluster.Note(absl::StrCat("connections of store ", n, " are reset"));
    cluster.network().Reset(n);
  }
};

class Duplication : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random&) override {
    for (int n = 1; n <= cluster.size(); ++n) cluster.network().Duplicate(n);
  }
};

class Bandwidth : public NetworkFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    int n = AnyStore(cluster, random);
    auto kbit = static_cast<int>(random.Between(64, 1000));
    cluster.Note(absl::StrCat("store ", n, " sends at most ", kbit, " kbit/s"));
    cluster.network().LimitBandwidth(n, kbit);
  }
};

class SlowLinks : public NetworkFault {
 public:
  void SetUp(RunSetup* setup) override { setup->cluster.slow_links = true; }
  void Inject(FaultCluster& cluster, Random& random) override {
    LinkFaults faults = Choose(random);
    for (int n = 1; n <= cluster.size(); ++n) {
      if (!random.Chance(0.7)) continue;
      cluster.Note(absl::StrCat("the link of store ", n, " delays by ", faults.delay_min.count(),
                                " to ", faults.delay_max.count(), " us, repeats ", faults.duplicate,
                                ", damages ", faults.corrupt, ", unseen ", faults.corrupt_unseen));
      cluster.network().slow_link(n)->Set(faults);
    }
  }
  virtual LinkFaults Choose(Random& random) {
    auto delay = std::chrono::microseconds(random.Between(500, 60'000));
    return {delay, delay};
  }
};

class Tangle : public SlowLinks {
 public:
  LinkFaults Choose(Random& random) override {
    LinkFaults faults;
    faults.delay_max = std::chrono::microseconds(random.Between(500, 20'000));
    faults.duplicate = static_cast<double>(random.Between(0, 20)) / 100;
    faults.corrupt = static_cast<double>(random.Between(0, 5)) / 100;
    faults.corrupt_unseen = static_cast<double>(random.Between(0, 10)) / 1000;
    return faults;
  }
};

}  // namespace

std::vector<FaultKind> NetworkFaults() {
  return {
      {"cut-pair", "two stores can't reach each other (nft, family bridge)", "writes go on", true,
       500, 6000, MakeFault<PartitionPair>},
      {"cut-one-way", "one store does not hear another (nft)", "writes go on", true, 500, 6000,
       MakeFault<PartitionOneWay>},
      {"isolate-leader", "the leader reaches clients only (nft)",
       "writes go on; it serves no stale read", true, 500, 6000, MakeFault<IsolateLeader>},
      {"cut-all", "no store reaches another (nft)", "nothing is acknowledged until healed", false,
       500, 6000, MakeFault<CutEverything>, /*nothing_commits=*/true},
      {"swizzle", "links are cut one by one, healed in another order (nft)",
       "writes go on once healed", false, 0, 2000, MakeFault<Swizzle>},
      {"loss", "2 to 25 % of incoming packets of every store are lost (iptables)",
       "slow, nothing worse", false, 1000, 6000, MakeFault<Loss>},
      {"resets", "connections of one store are reset (iptables)", "writes go on", true, 300, 4000,
       MakeFault<Resets>},
      {"duplicate", "packets between stores arrive twice (iptables TEE)", "nobody notices", true,
       1000, 5000, MakeFault<Duplication>},
      {"bandwidth", "one store sends at most 64 to 1,000 kbit/s (tc tbf)", "slow, nothing worse",
       false, 1000, 6000, MakeFault<Bandwidth>},
      {"delay", "links are up to 60 ms slow (a TAP device)", "slow, nothing worse", true, 1000,
       6000, MakeFault<SlowLinks>},
      {"tangle", "links reorder, repeat and damage packets, past checksums too (a TAP device)",
       "slow, nothing worse", false, 1000, 6000, MakeFault<Tangle>},
  };
}

}  // namespace kvd
